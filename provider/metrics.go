package provider

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts answers by route, method and status. Routes are patterns, so
// their number is bounded and no path with a secret becomes a label.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatelaine_http_requests_total", Help: "Answered requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chatelaine_http_request_seconds", Help: "Time to answer by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"route"}),
	}
	registerer.MustRegister(m.requests, m.seconds)
	return m
}

// methods are the ones that become labels; others are counted together.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "OPTIONS": true}

func (m *metrics) observe(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "other"
	}
	if !methods[method] {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
