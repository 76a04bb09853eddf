package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"golang.org/x/net/dns/dnsmessage"
)

const acmeHost = "id.acme.test"

// allHere is a name server for which every name is this machine.
func allHere(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerDNS(conn)
		}
	}()
	return l.Addr().String()
}

func answerDNS(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(size[:]))
		var m dnsmessage.Message
		if _, err := io.ReadFull(conn, raw); err != nil || m.Unpack(raw) != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		out, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// authority is an ACME server that we did not write. It looks for the proof on
// our port, and asks the directory's clients to trust its file.
func authority(t *testing.T, port string) (directory, trustFile string, roots *x509.CertPool, server *httptest.Server) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	tlsPort, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	quiet, records := log.New(io.Discard, "", 0), db.NewMemoryStore()
	issuer := ca.New(quiet, records, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	prover := va.New(quiet, 0, tlsPort, false, allHere(t), records)
	front := wfe.New(quiet, records, prover, issuer, []string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	server = httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	trustFile = filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(trustFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	return server.URL + wfe.DirectoryPath, trustFile, roots, server
}

func TestACertificateComesByACMEAndIsKept(t *testing.T) {
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	directory, trust, roots, server := authority(t, port)
	data := filepath.Join(t.TempDir(), "data")
	start := func() *serving {
		s := &serving{cmd: exec.Command(buildBinary(t), "serve")}
		s.cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+trust, "CHATELAINE_DATA="+data, "CHATELAINE_LISTEN=127.0.0.1:"+port,
			"CHATELAINE_PUBLIC_URL=https://"+acmeHost+":"+port, "CHATELAINE_TLS_ACME_DOMAINS="+acmeHost, "CHATELAINE_TLS_ACME_DIRECTORY="+directory)
		s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.kill)
		return s
	}
	get := func(name string) (*tls.ConnectionState, error) {
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		}
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
		resp, err := client.Get("https://" + name + ":" + port + "/readyz")
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return resp.TLS, nil
	}
	getSoon := func(s *serving) *x509.Certificate {
		t.Helper()
		for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			state, err := get(acmeHost)
			if err == nil {
				return state.PeerCertificates[0]
			}
			if time.Since(begin) > 30*time.Second {
				t.Fatalf("%v\n%s", err, s.log.String())
			}
		}
	}
	s := start()
	first := getSoon(s)
	if err := first.VerifyHostname(acmeHost); err != nil {
		t.Error(err)
	}
	if _, err := get("other.acme.test"); err == nil || !strings.Contains(err.Error(), "tls") {
		t.Errorf("another host name: %v", err)
	}
	s.stop(t)

	server.Close() // a restart needs no authority
	s = start()
	if again := getSoon(s); !again.Equal(first) {
		t.Error("the certificate was not kept")
	}
	s.stop(t)
	for path, mode := range map[string]os.FileMode{"acme": 0o700, "acme/" + acmeHost: 0o600} {
		if info, err := os.Stat(filepath.Join(data, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
}
