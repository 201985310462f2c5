package clients

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// server is what ../serve starts, killed and brought back at will.
type server struct {
	t       *testing.T
	dir     string
	tls     bool
	port    int
	process *exec.Cmd
}

const password = "secret"

func newServer(t *testing.T, tls bool) *server {
	s := &server{t: t, dir: t.TempDir(), tls: tls}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// start after a kill takes the same port: that is where clients reconnect.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(os.Getenv("AFT_SERVE"), s.dir, strconv.Itoa(s.port), password)
	if s.tls {
		s.process.Args = append(s.process.Args, os.Getenv("AFT_CERTIFICATES"))
	}
	s.process.Stderr = os.Stderr
	output, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	// A server that hangs in its start must not hang the tests.
	killer := time.AfterFunc(20*time.Second, func() { _ = s.process.Process.Kill() })
	defer killer.Stop()
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		line := lines.Text()
		if port, ok := strings.CutPrefix(line, "port "); ok {
			s.port, _ = strconv.Atoi(port)
		}
		if strings.HasPrefix(line, "listening") || strings.Contains(line, "Ready to accept") {
			go func() {
				for lines.Scan() {
				}
			}()
			return
		}
	}
	s.t.Fatal("the server did not start")
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	_, _ = s.process.Process.Wait()
}

// tlsConfig is that of a client with the certificate of who, or none.
func (s *server) tlsConfig(who string) *tls.Config {
	s.t.Helper()
	if !s.tls {
		return nil
	}
	file := func(name string) string {
		return filepath.Join(os.Getenv("AFT_CERTIFICATES"), name)
	}
	authority, err := os.ReadFile(file("ca.crt"))
	if err != nil {
		s.t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	config.RootCAs.AppendCertsFromPEM(authority)
	if who != "" {
		own, err := tls.LoadX509KeyPair(file(who+".crt"), file(who+".key"))
		if err != nil {
			s.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config
}
