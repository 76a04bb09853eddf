package main

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/rs/zerolog"
)

// Limits on every connection. Handlers that stream move their own deadlines on.
const (
	headerTime  = 10 * time.Second
	requestTime = 30 * time.Second
	answerTime  = 60 * time.Second
	idleTime    = 120 * time.Second
	headerBytes = 64 << 10
)

func publicServer(handler http.Handler, t *tls.Config, l zerolog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, TLSConfig: t, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes, ErrorLog: errorLog(l),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100, MaxReadFrameSize: 64 << 10, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 30 * time.Second},
	}
}

// endingStreams tells the streams, which never end by themselves, to end when
// the server shuts down. Every other answer may take its time.
func endingStreams(next http.Handler, shutDown context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/access/v1/revocations") {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(shutDown, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func metricsServer(set *metrics.Set, l zerolog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		set.WritePrometheus(w)
		metrics.WriteProcessMetrics(w)
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes, ErrorLog: errorLog(l)}
}

// newLog writes to standard error: JSON, or lines for people on a terminal. end
// writes what is still kept.
func newLog(t *terminal, c *config) (log zerolog.Logger, end func()) {
	var out io.Writer
	if c.logFormat == "console" || c.logFormat == "auto" && isTerminal(t.err) {
		out = zerolog.ConsoleWriter{Out: t.err, TimeFormat: time.DateTime, NoColor: !isTerminal(t.err) || os.Getenv("NO_COLOR") != ""}
		end = func() {}
	} else {
		gathered := newGatheredLog(t.err)
		out, end = gathered, gathered.start()
	}
	level, err := zerolog.ParseLevel(c.logLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), end
}

// errorLog takes what net/http has to say, which is about broken connections:
// anybody can cause it, so it is for debugging.
func errorLog(l zerolog.Logger) *log.Logger { return log.New(lineWriter{l}, "", 0) }

type lineWriter struct{ log zerolog.Logger }

var _ io.Writer = lineWriter{}

func (w lineWriter) Write(p []byte) (int, error) {
	w.log.Debug().Str("from", "net/http").Msg(string(p[:max(0, len(p)-1)]))
	return len(p), nil
}
