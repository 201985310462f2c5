package clients

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// server is what ../serve starts, killed and brought back at will.
type server struct {
	t        *testing.T
	dir      string
	port     int
	password string
	process  *exec.Cmd
}

func newServer(t *testing.T, password string) *server {
	s := &server{t: t, dir: t.TempDir(), password: password}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// start after a kill takes the same port: that is where clients reconnect.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(os.Getenv("AFT_SERVE"), s.dir, strconv.Itoa(s.port), s.password)
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
