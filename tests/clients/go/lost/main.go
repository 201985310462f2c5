// Lost counts once, whatever happens, and then once more: lost WAY,PORT,USER,KEY…
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

func count(ctx context.Context, r *redis.Client, way, key string) error {
	switch way {
	case "INCR":
		return r.Incr(ctx, key).Err()
	case "MULTI":
		_, err := r.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Incr(ctx, key)
			return nil
		})
		return err
	}
	return r.Watch(ctx, func(tx *redis.Tx) error {
		seen, err := tx.Get(ctx, key).Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, key, seen+1, 0)
			return nil
		})
		return err
	}, key)
}

func main() {
	ctx := context.Background()
	for _, word := range os.Args[1:] {
		parts := strings.Split(word, ",")
		way, key := parts[0], parts[3]
		r := redis.NewClient(&redis.Options{
			Addr: "127.0.0.1:" + parts[1], Username: parts[2], Password: "secret",
		})
		who := "library"
		for count(ctx, r, way, key) != nil {
			who = "program"
		}
		first := r.Get(ctx, key).Val()
		r.Incr(ctx, key)
		fmt.Println(way, who, first, r.Get(ctx, key).Val())
		_ = r.Close()
	}
}
