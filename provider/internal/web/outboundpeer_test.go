package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestAPeerThatIsSlowIsGivenUp(t *testing.T) {
	t.Parallel()
	if c := NewOutboundClient(false); c.Timeout != 5*time.Second {
		t.Errorf("a request may take %s", c.Timeout)
	}
	// drips sends a piece now and then, for longer than anybody waits.
	drips := func(first, piece string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, err = io.WriteString(conn, first)
			for range 150 {
				if err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
				_, err = io.WriteString(conn, piece)
			}
		}
	}
	for name, peer := range map[string]http.HandlerFunc{
		"a body of slow bytes": drips("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x"),
		"slow chunks":          drips("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
		"headers without end":  drips("HTTP/1.1 200 OK\r\n", "X-More: x\r\n"),
		"no answer":            drips("", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(peer)
			t.Cleanup(server.CloseClientConnections)
			c := newOutboundClient(outboundDialer(true), 100*time.Millisecond)
			begin := time.Now()
			body, err := Fetch(t.Context(), c, server.URL)
			if took := time.Since(begin); !errors.Is(err, ErrOutbound) || took > time.Second {
				t.Errorf("%q, %v after %s", body, err, took)
			}
		})
	}
}

func TestWhatIsSentInflatedIsNotInflatedHere(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	if _, err := packed.Write(make([]byte, 8*OutboundBytes)); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	}))
	t.Cleanup(server.Close)
	body, err := Fetch(t.Context(), NewOutboundClient(true), server.URL)
	if err != nil || !bytes.Equal(body, bomb.Bytes()) {
		t.Errorf("%d bytes of %d, %v", len(body), bomb.Len(), err)
	}
	if got := <-asked; got != "" {
		t.Errorf("it was asked for %q", got)
	}
}

func TestHeadersBeyondABoundAreNotRead(t *testing.T) {
	t.Parallel()
	for size, read := range map[int]bool{60 << 10: true, 70 << 10: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", size)) }))
		t.Cleanup(server.Close)
		if _, err := Fetch(t.Context(), NewOutboundClient(true), server.URL); (err == nil) != read {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// names is a name server whose answers follow each other; the last stays.
type names struct {
	address string

	mu      sync.Mutex
	answers map[string][][]string
}

func newNames(t *testing.T, answers map[string][][]string) *names {
	t.Helper()
	n := &names{answers: answers}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = conn.LocalAddr().String()
	ready := make(chan struct{})
	serving := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(n.answer), NotifyStartedFunc: func() { close(ready) }}
	go serving.ActivateAndServe()
	<-ready
	t.Cleanup(func() { serving.Shutdown() })
	return n
}

func (n *names) answer(w dns.ResponseWriter, asked *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(asked)
	if q := asked.Question[0]; q.Qtype == dns.TypeA {
		all := n.answers[q.Name]
		for _, text := range all[0] {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(text)})
		}
		if len(all) > 1 {
			n.answers[q.Name] = all[1:]
		}
	}
	w.WriteMsg(m)
}

func TestTheAddressThatIsDialledIsJudgedAndNotTheName(t *testing.T) {
	t.Parallel()
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(inside.Close)
	reached := inside.Listener.Addr().(*net.TCPAddr)
	const public = "93.184.216.34"
	server := newNames(t, map[string][][]string{
		"mixed.example.":    {{public, "127.0.0.1"}},
		"turned.example.":   {{"127.0.0.1", public}},
		"changing.example.": {{public}, {"127.0.0.1"}},
		"ours.example.":     {{"127.0.0.1"}},
	})
	for _, c := range []struct {
		name          string
		allowLoopback bool
		judged        []string // at each request
	}{
		{"mixed", false, []string{public + " may, 127.0.0.1 may not"}},
		{"turned", false, []string{public + " may, 127.0.0.1 may not"}},
		{"changing", false, []string{public + " may", "127.0.0.1 may not", "127.0.0.1 may not"}},
		{"ours", true, []string{"127.0.0.1 may"}},
	} {
		d := outboundDialer(c.allowLoopback)
		d.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", server.address)
		}}
		var mu sync.Mutex
		judged := map[string]bool{}
		judge := d.ControlContext
		d.ControlContext = func(ctx context.Context, network, address string, raw syscall.RawConn) error {
			err := judge(ctx, network, address, raw)
			mu.Lock()
			defer mu.Unlock()
			host := netip.MustParseAddrPort(address).Addr().String()
			if err != nil {
				judged[host+" may not"] = true
				return err
			}
			judged[host+" may"] = true
			if host == public {
				return errors.New("nothing outside is called by a test")
			}
			return nil
		}
		client := newOutboundClient(d, time.Second)
		for i, want := range c.judged {
			clear(judged)
			_, err := Fetch(t.Context(), client, fmt.Sprintf("http://%s.example:%d/", c.name, reached.Port))
			if (err == nil) != c.allowLoopback {
				t.Errorf("%s, request %d: %v", c.name, i+1, err)
			}
			for words := range strings.SplitSeq(want, ", ") {
				if !judged[words] {
					t.Errorf("%s, request %d: %v, want %s", c.name, i+1, judged, words)
				}
			}
		}
	}
}
