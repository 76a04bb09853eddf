package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider"
)

// graceTime is how long what is under way may take to end when the server is
// told to stop.
const graceTime = 30 * time.Second

type serveCommand struct {
	Apply    string        `help:"Site file to apply before answering." placeholder:"FILE"`
	Prune    bool          `help:"With --apply: remove what its lists no longer name."`
	Settings settingsFlags `embed:""`
}

// Run serves until it is told to stop.
func (c *serveCommand) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.Settings.load(t)
	if err != nil {
		return err
	}
	if c.Prune && c.Apply == "" {
		return usagef("--prune goes with --apply")
	}
	var site []byte
	if c.Apply != "" {
		if site, err = readSiteFile(t, c.Apply); err != nil {
			return err
		}
	}
	s, err := openServer(ctx, t, cfg, nil)
	if err != nil {
		return err
	}
	if site != nil {
		if err := s.apply(ctx, c.Apply, site, c.Prune); err != nil {
			return errors.Join(err, s.close())
		}
	}
	return s.serve(ctx)
}

// server is one running house with its listeners.
type server struct {
	cfg      *config
	t        *terminal
	log      zerolog.Logger
	house    *house
	counters *metrics.Set
	main     net.Listener
	metrics  net.Listener
	control  net.Listener
	stop     func() error // ends the background work
	endLog   func()       // writes what is left of the log
}

// openServer takes the ports before it opens the store, so that a port in use is
// known at once, and the control socket after it, since the store is the lock.
// Mails go to deliver, if it is given, in place of a mail server.
func openServer(ctx context.Context, t *terminal, cfg *config, deliver func(context.Context, provider.Letter) error) (*server, error) {
	letGarbageGather()
	s := &server{cfg: cfg, t: t, counters: metrics.NewSet()}
	s.log, s.endLog = newLog(t, cfg)
	for _, w := range cfg.warnings {
		s.log.Warn().Msg(w)
	}
	if os.Geteuid() == 0 && os.Getenv("CI") == "" {
		s.log.Warn().Msg("running as root: a user of its own is enough, even for ports below 1024 (CAP_NET_BIND_SERVICE)")
	}
	if err := s.listen(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	var err error
	if s.house, err = openHouse(ctx, cfg, houseOptions{create: true, serves: true, deliver: deliver, log: s.log, metrics: s.counters}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := openCheckpoints(cfg.auditCheckpoints); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.control, err = listenControl(cfg.data); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.stop = s.house.background(ctx)
	return s, nil
}

func (s *server) listen(ctx context.Context) (err error) {
	if s.main, err = listenOn(ctx, "listen", s.cfg.listen); err != nil {
		return err
	}
	if s.cfg.metricsListen != "" {
		s.metrics, err = listenOn(ctx, "metrics.listen", s.cfg.metricsListen)
	}
	return err
}

func listenOn(ctx context.Context, name, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: the port of %s is in use by another process", name, address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: this user may not use the port of %s", name, address)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// close gives everything back that openServer took.
func (s *server) close() error {
	defer s.endLog()
	var faults []error
	for _, l := range []net.Listener{s.main, s.metrics, s.control} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				faults = append(faults, err)
			}
		}
	}
	if s.control != nil {
		_ = os.Remove(filepath.Join(s.cfg.data, socketName))
	}
	if s.stop != nil {
		faults = append(faults, s.stop())
	}
	if s.house != nil {
		faults = append(faults, s.house.store.Close())
	}
	return errors.Join(faults...)
}

func (s *server) inProcess() *control {
	return &control{http: httpInProcess(s.house.server.Control()), operator: operatorName(), progress: newProgress(s.t), close: func() error { return nil }}
}

func (s *server) apply(ctx context.Context, name string, raw []byte, prune bool) error {
	out, err := applySite(ctx, s.inProcess(), name, raw, prune, false)
	if err != nil {
		return err
	}
	for _, c := range out.Changes {
		s.log.Info().Str("site", "/"+c.Site).Msg(c.Text)
	}
	for _, in := range out.Invitations { // links are for whoever sees this terminal, not for the log
		in.print(s.t)
	}
	for _, w := range out.Warnings {
		s.log.Warn().Msg(w)
	}
	if len(out.Changes) == 0 {
		s.log.Info().Str("file", name).Msg("nothing to change")
	}
	return nil
}

// serve answers until ctx ends or something that cannot be mended happens.
func (s *server) serve(ctx context.Context) error {
	tlsConfig, err := tlsConfig(s.cfg, s.log)
	if err != nil {
		return errors.Join(err, s.close())
	}
	if err := s.firstSteps(ctx); err != nil {
		return errors.Join(err, s.close())
	}
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	public := publicServer(endingStreams(s.house.server, streams), tlsConfig, s.log)
	public.RegisterOnShutdown(endStreams)
	operators := &http.Server{Handler: s.house.server.Control(), ReadHeaderTimeout: headerTime, ErrorLog: errorLog(s.log)}
	ended := make(chan error, 3)
	run := func(name string, serve func() error) {
		go func() {
			if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				ended <- fmt.Errorf("%s: %w", name, err)
			}
		}()
	}
	if tlsConfig != nil {
		run("listen", func() error { return public.ServeTLS(s.main, "", "") })
	} else {
		run("listen", func() error { return public.Serve(s.main) })
	}
	run("control socket", func() error { return operators.Serve(s.control) })
	servers := []*http.Server{public, operators}
	if s.metrics != nil {
		m := metricsServer(s.counters, s.log)
		run("metrics.listen", func() error { return m.Serve(s.metrics) })
		servers = append(servers, m)
	}
	s.log.Info().Str("listen", s.main.Addr().String()).Str("public_url", s.cfg.publicURL).Str("version", version).Msg("answering")
	go giveBack()
	select {
	case <-ctx.Done():
		s.log.Info().Msg("stopping: finishing what is under way")
	case err = <-ended:
	case err = <-s.house.fatal:
		err = fmt.Errorf("the store can serve no longer: %w", err)
	}
	return errors.Join(err, s.shutDown(servers), s.close())
}

// firstSteps completes the store and offers the one way to make the first
// administrator of an empty one. The link is for whoever sees this terminal, so
// it is not in the log.
func (s *server) firstSteps(ctx context.Context) error {
	if err := s.house.server.Prepare(ctx); err != nil {
		return err
	}
	var out struct {
		URL string `json:"url"`
	}
	err := s.inProcess().do(ctx, request{op: "set-up-link", out: &out})
	var f *failure
	if errors.As(err, &f) && f.Kind == "not_found" { // no root site: its administrators are not missed
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the set-up link: %w", err)
	}
	if out.URL != "" {
		s.t.say("Nobody administers this yet. Create the first administrator here (once, within the hour):\n\n  %s\n", out.URL)
	}
	return nil
}

// shutDown lets answers under way end.
func (s *server) shutDown(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	var wg sync.WaitGroup
	faults := make([]error, len(servers))
	for i, server := range servers {
		wg.Go(func() {
			if faults[i] = server.Shutdown(ctx); faults[i] != nil {
				_ = server.Close()
				faults[i] = fmt.Errorf("some answers did not end in %s and were cut", graceTime)
			}
		})
	}
	wg.Wait()
	return errors.Join(faults...)
}
