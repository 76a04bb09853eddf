package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
)

// house is an open store with the provider over it.
type house struct {
	cfg    *config
	store  store.Engine
	server *provider.Server
	fatal  chan error // told once when the store can serve no longer
}

// houseOptions says how to open one.
type houseOptions struct {
	create  bool                                         // make a store that is not there yet
	serves  bool                                         // send mails, too
	deliver func(context.Context, provider.Letter) error // takes the mails in place of a server
	log     zerolog.Logger
	metrics *metrics.Set
}

var errNoStore = errors.New("there is no store yet")

func openHouse(ctx context.Context, c *config, o houseOptions) (*house, error) {
	fresh, err := storeIsMissing(c)
	if err != nil {
		return nil, err
	}
	if fresh && !o.create {
		return nil, fmt.Errorf("%w at %s: start serve or demo, or apply a site file, to make one", errNoStore, c.boltPath())
	}
	warning, err := prepareData(c.data)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		o.log.Warn().Msg(warning)
	}
	sealer, err := loadSealer(c, o.create && (fresh || c.boltPath() == ""))
	if err != nil {
		return nil, err
	}
	h := &house{cfg: c, fatal: make(chan error, 1)}
	if h.store, err = h.openStore(ctx); err != nil {
		return nil, err
	}
	if err := store.CheckMasterKey(ctx, h.store, sealer, time.Now()); err != nil {
		return nil, errors.Join(err, h.store.Close())
	}
	mail := c.mail()
	mail.Deliver, mail.QueueOnly = o.deliver, !o.serves
	h.server, err = provider.New(provider.Options{
		Store: h.store, Sealer: sealer, PublicURL: c.publicURL, TrustedProxies: c.proxies, Checkpoints: c.auditCheckpoints, Log: o.log, Metrics: o.metrics, DNSServer: c.dnsServer, PrivateNetworks: c.private,
		Argon2:   provider.Argon2{MemoryKiB: uint32(c.argon2MemoryKiB), Time: uint32(c.argon2Time), Threads: uint8(c.argon2Threads)},
		Throttle: provider.Throttle{PerAccount: c.throttlePerAccount, PerNetwork: c.throttlePerNetwork},
		Breached: provider.Breached{File: c.breachedFile, URL: c.breachedURL}, Mail: mail,
	})
	if err != nil {
		return nil, errors.Join(err, h.store.Close())
	}
	return h, nil
}

// storeIsMissing reports whether the store is a file that does not exist.
func storeIsMissing(c *config) (bool, error) {
	path := c.boltPath()
	if path == "" {
		return false, nil
	}
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("the database: %s", plainFileError(err))
	}
	return false, nil
}

// connectTime is how long PostgreSQL may take to answer at start.
const connectTime = 10 * time.Second

func (h *house) openStore(ctx context.Context) (store.Engine, error) {
	if path := h.cfg.boltPath(); path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("make the database's folder: %w", err)
		}
		s, err := bolt.Open(bolt.Options{Path: path, OnFatal: h.onFatal})
		if errors.Is(err, bolt.ErrInUse) {
			return nil, h.inUse(ctx, path)
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	s, err := postgres.Open(ctx, postgres.Options{URL: h.cfg.database.reveal()})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (h *house) inUse(ctx context.Context, path string) error {
	if conn, running, err := dialControl(ctx, h.cfg.data); err == nil && running {
		_ = conn.Close()
		return fmt.Errorf("a server is running on %s already", h.cfg.data)
	}
	return fmt.Errorf("%s is in use by another process, which does not answer on %s", path, filepath.Join(h.cfg.data, socketName))
}

func (h *house) onFatal(err error) {
	select {
	case h.fatal <- err:
	default:
	}
}

// background runs the provider's workers until the returned function is called,
// which waits until they have put everything in order.
func (h *house) background(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- h.server.Run(ctx) }()
	return func() error {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
}

// reach returns the operations: a running server's, or those of a store opened
// here for one command. Close it when the command is done.
func reach(ctx context.Context, t *terminal, c *config, create bool) (*control, error) {
	conn, running, err := dialControl(ctx, c.data)
	if err != nil {
		return nil, err
	}
	ctl := &control{operator: operatorName(), progress: newProgress(t)}
	if running {
		_ = conn.Close()
		ctl.http = socketClient(c.data)
		ctl.close = func() error { ctl.http.CloseIdleConnections(); return nil }
		return ctl, nil
	}
	h, err := openHouse(ctx, c, houseOptions{create: create, log: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	stop := h.background(ctx)
	ctl.http = httpInProcess(h.server.Control())
	ctl.close = func() error { return errors.Join(stop(), h.store.Close()) }
	return ctl, nil
}
