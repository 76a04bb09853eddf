package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// writePair writes a fresh self-signed certificate for localhost.
func writePair(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func serialOf(t *testing.T, f *certificateFiles) int64 {
	t.Helper()
	pair, err := f.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.Int64()
}

func TestANewCertificateIsTakenUpAndABadOneIsNot(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	cert, key := writePair(t, dir, 1)
	f := &certificateFiles{cert: cert, key: key, log: zerolog.Nop(), now: func() time.Time { return now }}
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	writePair(t, dir, 2)
	if got := serialOf(t, f); got != 1 {
		t.Errorf("at once: certificate %d", got)
	}
	now = now.Add(lookAgain)
	if got := serialOf(t, f); got != 2 {
		t.Errorf("after a moment: certificate %d", got)
	}
	if err := os.WriteFile(cert, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(lookAgain)
	if got := serialOf(t, f); got != 2 {
		t.Errorf("after a bad one: certificate %d", got)
	}
	writePair(t, dir, 3)
	now = now.Add(lookAgain)
	if got := serialOf(t, f); got != 3 {
		t.Errorf("after it was mended: certificate %d", got)
	}
}

func TestTLSIsModernAndSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	cert, key := writePair(t, t.TempDir(), 1)
	config, err := tlsConfig(&config{tlsCert: cert, tlsKey: key}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = publicServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Proto", r.Proto) }), config, zerolog.Nop())
	server.TLS, server.EnableHTTP2 = config, true
	server.StartTLS()
	defer server.Close()
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}}
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Proto"); got != "HTTP/2.0" {
		t.Errorf("spoke %s", got)
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: tls.VersionTLS11}}}
	if resp, err := old.Get(server.URL); err == nil {
		resp.Body.Close()
		t.Error("TLS 1.1 was accepted")
	}
}
