package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// tlsConfig is nil when TLS ends elsewhere.
func tlsConfig(c *config, log zerolog.Logger) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	switch {
	case c.tlsCert != "":
		files := &certificateFiles{cert: c.tlsCert, key: c.tlsKey, log: log, now: time.Now}
		if err := files.load(); err != nil {
			return nil, err
		}
		t.GetCertificate = files.get
		return t, nil
	case len(c.acmeDomains) > 0:
		m := &autocert.Manager{
			Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(c.acmeDomains...), Email: c.acmeEmail,
			Cache: autocert.DirCache(filepath.Join(c.data, "acme")), Client: &acme.Client{DirectoryURL: c.acmeDirectory, UserAgent: "chatelaine/" + version},
		}
		t.GetCertificate = m.GetCertificate
		t.NextProtos = append(t.NextProtos, acme.ALPNProto)
		return t, nil
	}
	return nil, nil
}

// certificateFiles serves a certificate from files and reads them again when
// they change. A pair that cannot be read leaves the old one in use.
type certificateFiles struct {
	cert, key string
	log       zerolog.Logger
	now       func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	stamp   string
	looked  time.Time
}

// lookAgain is how old our knowledge of the files may be.
const lookAgain = 2 * time.Second

func (f *certificateFiles) load() error {
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = errors.New(plainFileError(err))
		}
		return fmt.Errorf("tls.cert and tls.key: %w", err)
	}
	f.current, f.stamp, f.looked = &pair, f.stamps(), f.now()
	return nil
}

func (f *certificateFiles) stamps() string {
	text := ""
	for _, path := range []string{f.cert, f.key} {
		if info, err := os.Stat(path); err == nil {
			text += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), " ")
		}
	}
	return text
}

func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Sub(f.looked) < lookAgain {
		return f.current, nil
	}
	f.looked = f.now()
	stamp := f.stamps()
	if stamp == f.stamp {
		return f.current, nil
	}
	if err := f.load(); err != nil {
		f.stamp = stamp // tried; the next change is tried again
		f.log.Error().Err(err).Msg("the new certificate cannot be used; the old one stays")
		return f.current, nil
	}
	f.log.Info().Msg("a new certificate is in use")
	return f.current, nil
}
