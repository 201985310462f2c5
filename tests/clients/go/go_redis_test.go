// go-redis against the server in AFT_BINARY, in both protocols.
package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

func connect(t *testing.T, s *server, protocol int, change func(*redis.Options)) *redis.Client {
	options := &redis.Options{
		Addr: s.address(), Protocol: protocol, Password: password, TLSConfig: s.tlsConfig("client"),
	}
	if change != nil {
		change(options)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// everyWay runs a test in both protocols, plain and over TLS, each with an empty server.
func everyWay(t *testing.T, test func(t *testing.T, s *server, r *redis.Client)) {
	for _, protocol := range []int{2, 3} {
		for _, tls := range []bool{false, true} {
			t.Run(fmt.Sprintf("RESP%d,tls=%t", protocol, tls), func(t *testing.T) {
				s := newServer(t, tls)
				test(t, s, connect(t, s, protocol, nil))
			})
		}
	}
}

func must[T any](t *testing.T, command interface{ Result() (T, error) }) T {
	t.Helper()
	value, err := command.Result()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func same(t *testing.T, got, wanted any) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", wanted) {
		t.Fatalf("got %#v, wanted %#v", got, wanted)
	}
}

func TestTheProtocolAskedFor(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		wanted := int64(r.Options().Protocol)
		switch hello := must(t, r.Do(ctx, "HELLO")).(type) {
		case map[any]any:
			same(t, hello["proto"], wanted)
		case []any:
			same(t, hello[slices.Index(hello, any("proto"))+1], wanted)
		default:
			t.Fatalf("%#v", hello)
		}
	})
}

func TestStringsAndErrors(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		same(t, r.Get(ctx, "k").Err(), redis.Nil)
		same(t, must(t, r.Set(ctx, "k", "v", 100*time.Second)), "OK")
		same(t, must(t, r.SetNX(ctx, "k", "w", 0)), false)
		same(t, must(t, r.SetArgs(ctx, "k", "w", redis.SetArgs{Get: true, KeepTTL: true})), "v")
		if ttl := must(t, r.TTL(ctx, "k")); ttl <= 95*time.Second || ttl > 100*time.Second {
			t.Fatal(ttl)
		}
		same(t, must(t, r.MSet(ctx, "a", 1, "b", 2)), "OK")
		same(t, must(t, r.MGet(ctx, "a", "none", "b")), []any{"1", nil, "2"})
		same(t, must(t, r.IncrBy(ctx, "a", 41)), int64(42))
		same(t, r.Incr(ctx, "k").Err().Error(), "ERR value is not an integer or out of range")
		if err := r.Do(ctx, "NOSUCH").Err(); !strings.HasPrefix(err.Error(), "ERR unknown command 'NOSUCH'") {
			t.Fatal(err)
		}
		same(t, must(t, r.Del(ctx, "a", "none")), int64(1))
		same(t, must(t, r.DBSize(ctx)), int64(2))
	})
}

func TestNameAndDatabaseAtConnect(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		named := connect(t, s, r.Options().Protocol, func(o *redis.Options) {
			o.ClientName, o.DB = "me", 3
		})
		same(t, must(t, named.ClientGetName(ctx)), "me")
		must(t, named.Set(ctx, "k", "3", 0))
		same(t, r.Get(ctx, "k").Err(), redis.Nil)
	})
}

func TestAURLAloneBindsToATransaction(t *testing.T) {
	if strings.HasPrefix(filepath.Base(os.Getenv("AFT_BINARY")), "redis-server") {
		t.Skip("redis-server has no AFT.BEGIN")
	}
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		runner := r.Conn()
		defer func() { _ = runner.Close() }()
		token := must(t, runner.Do(ctx, "AFT.BEGIN")).([]any)[0].(string)
		must(t, runner.Do(ctx, "AFT.LEAVE"))
		scheme := map[bool]string{false: "redis", true: "rediss"}[s.tls]
		var bound []*redis.Client
		for _, url := range []string{
			fmt.Sprintf("%s://:%s@%s?client_name=aft:%s", scheme, password, s.address(), token),
			fmt.Sprintf("%s://default~%s:%s@%s", scheme, token, password, s.address()),
		} {
			options, err := redis.ParseURL(url)
			if err != nil {
				t.Fatal(err)
			}
			options.Protocol, options.TLSConfig = r.Options().Protocol, s.tlsConfig("client")
			client := redis.NewClient(options)
			t.Cleanup(func() { _ = client.Close() })
			bound = append(bound, client)
		}
		for at, client := range bound {
			same(t, must(t, client.Incr(ctx, "k")), int64(at+1))
			same(t, r.Get(ctx, "k").Err(), redis.Nil)
		}
		must(t, runner.Do(ctx, "AFT.COMMIT", token))
		same(t, must(t, r.Get(ctx, "k")), "2")
		for _, client := range bound {
			if err := client.Incr(ctx, "k").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOTXN") {
				t.Fatal(err)
			}
		}
	})
}

func TestPipeline(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		var gets []*redis.StringCmd
		_, err := r.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for n := range 1000 {
				pipe.Set(ctx, fmt.Sprint("k", n), n, 0)
				gets = append(gets, pipe.Get(ctx, fmt.Sprint("k", n)))
			}
			return nil
		})
		same(t, err, nil)
		for n, get := range gets {
			same(t, get.Val(), fmt.Sprint(n))
		}
	})
}

func TestMulti(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		must(t, r.Set(ctx, "s", "text", 0))
		pipe := r.TxPipeline()
		set, failed, get := pipe.Set(ctx, "a", 1, 0), pipe.Incr(ctx, "s"), pipe.Get(ctx, "a")
		_, err := pipe.Exec(ctx)
		same(t, err, failed.Err()) // the others stand
		same(t, failed.Err().Error(), "ERR value is not an integer or out of range")
		same(t, set.Val(), "OK")
		same(t, get.Val(), "1")
	})
}

func TestWatchConflictIsRetried(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		must(t, r.Set(ctx, "k", 1, 0))
		var seen []int
		for done := false; !done; {
			err := r.Watch(ctx, func(tx *redis.Tx) error {
				value, err := tx.Get(ctx, "k").Int()
				if err != nil {
					return err
				}
				if seen = append(seen, value); len(seen) == 1 {
					must(t, r.Set(ctx, "k", 10, 0))
				}
				_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
					pipe.Set(ctx, "k", value*2, 0)
					return nil
				})
				return err
			}, "k")
			if done = err == nil; !done && !errors.Is(err, redis.TxFailedErr) {
				t.Fatal(err)
			}
		}
		same(t, seen, []int{1, 10})
		same(t, must(t, r.Get(ctx, "k")), "20")
	})
}

func TestPoolOf50(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		pool := connect(t, s, r.Options().Protocol, func(o *redis.Options) {
			o.PoolSize, o.MinIdleConns, o.PoolTimeout = 50, 50, 20*time.Second
		})
		var counted [2001]bool
		var lock sync.Mutex
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for range 20 {
					n, err := pool.Incr(ctx, "n").Result()
					lock.Lock()
					if err != nil || n > 2000 || counted[n] {
						t.Errorf("%d, %v", n, err)
					} else {
						counted[n] = true
					}
					lock.Unlock()
				}
			})
		}
		all.Wait()
		same(t, must(t, pool.Get(ctx, "n")), "2000")
		same(t, pool.PoolStats().TotalConns, uint32(50))
	})
}

func TestBigValueAndAllBytes(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		block := make([]byte, 256)
		for n := range block {
			block[n] = byte(n)
		}
		big := bytes.Repeat(block, 8<<20/256)
		must(t, r.Set(ctx, string(block), big, 0))
		got, err := r.Get(ctx, string(block)).Bytes()
		if err != nil || !bytes.Equal(got, big) {
			t.Fatal(len(got), err)
		}
	})
}

func TestReconnectsAfterKill9AndTheAcknowledgedDataIsThere(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		patient := connect(t, s, r.Options().Protocol, func(o *redis.Options) {
			o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 200, 100*time.Millisecond, 100*time.Millisecond
		})
		var keys []string
		for n := range 100 {
			keys = append(keys, fmt.Sprint("k", n))
			must(t, patient.Set(ctx, keys[n], n, 0))
		}
		s.kill()
		got := make(chan *redis.SliceCmd, 1)
		go func() { got <- patient.MGet(ctx, keys...) }() // meets the dead connection
		s.start()
		for n, value := range must(t, <-got) {
			same(t, value, fmt.Sprint(n))
		}
		same(t, must(t, patient.Set(ctx, "again", "yes", 0)), "OK")
	})
}

func TestAuth(t *testing.T) {
	everyWay(t, func(t *testing.T, s *server, r *redis.Client) {
		for _, user := range []struct {
			name, password, refused string
		}{
			{"", "", "NOAUTH"},
			{"", "wrong", "WRONGPASS"},
			{"x", password, "WRONGPASS"},
			{"", password, ""},
			{"default", password, ""},
		} {
			client := connect(t, s, r.Options().Protocol, func(o *redis.Options) {
				o.Username, o.Password, o.MaxRetries = user.name, user.password, -1
			})
			err := client.Set(ctx, "k", "v", 0).Err()
			if user.refused == "" {
				same(t, err, nil)
			} else if err == nil || !strings.HasPrefix(err.Error(), user.refused) {
				t.Fatalf("%v: %v", user, err)
			}
		}
	})
}

func TestWhoHasNoCertificateOfOursIsRefused(t *testing.T) {
	s := newServer(t, true)
	for _, who := range []string{"", "stranger"} {
		r := connect(t, s, 3, func(o *redis.Options) {
			o.TLSConfig, o.MaxRetries = s.tlsConfig(who), -1
		})
		err := r.Set(ctx, "k", "v", 0).Err()
		if err == nil || !strings.HasPrefix(err.Error(), "remote error: tls:") {
			t.Fatalf("%q: %v", who, err)
		}
	}
}
