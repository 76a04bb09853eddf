package provider

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
)

// metrics counts answers by route, method and status. Routes are patterns, so
// their number is bounded and no path with a secret becomes a label.
type metrics struct {
	set      *vm.Set
	mu       sync.RWMutex
	requests map[answered]*vm.Counter
	times    map[string]*times // by route
}

// answered is a kind of answer.
type answered struct {
	route, method string
	status        int
}

func newMetrics(set *vm.Set) *metrics {
	return &metrics{set: set, requests: map[answered]*vm.Counter{}, times: map[string]*times{}}
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
	kind := answered{route, method, status}
	m.mu.RLock()
	requests, times := m.requests[kind], m.times[route]
	m.mu.RUnlock()
	if requests == nil || times == nil {
		requests, times = m.begin(kind)
	}
	requests.Inc()
	times.observe(took.Seconds())
}

// begin makes what counts a kind of answer that there was none of before.
func (m *metrics) begin(kind answered) (*vm.Counter, *times) {
	m.mu.Lock()
	defer m.mu.Unlock()
	requests := m.set.GetOrCreateCounter("chatelaine_http_requests_total" + labels("method", kind.method, "route", kind.route, "status", strconv.Itoa(kind.status)))
	m.requests[kind] = requests
	if m.times[kind.route] == nil {
		m.times[kind.route] = newTimes(m.set, "chatelaine_http_request_seconds", "route", kind.route)
	}
	return requests, m.times[kind.route]
}

// labels writes pairs of names and values.
func labels(pairs ...string) string {
	var b strings.Builder
	for pair := range slices.Chunk(pairs, 2) {
		separator := ","
		if b.Len() == 0 {
			separator = "{"
		}
		fmt.Fprintf(&b, "%s%s=%q", separator, pair[0], pair[1])
	}
	return b.String() + "}"
}

// upTo are the upper bounds of a histogram's buckets, in seconds. The library's
// own histograms have bounds that only its makers' database understands.
var upTo = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// times is a histogram as Prometheus defines it: cumulative buckets, a sum and a
// count.
type times struct {
	buckets [len(upTo)]*vm.Counter
	all     *vm.Counter // the bucket without a bound
	count   *vm.Counter
	sum     *vm.FloatCounter
}

func newTimes(set *vm.Set, name string, pairs ...string) *times {
	t := &times{
		all:   set.NewCounter(name + "_bucket" + labels(append(pairs, "le", "+Inf")...)),
		count: set.NewCounter(name + "_count" + labels(pairs...)),
		sum:   set.NewFloatCounter(name + "_sum" + labels(pairs...)),
	}
	for i, bound := range upTo {
		t.buckets[i] = set.NewCounter(name + "_bucket" + labels(append(pairs, "le", strconv.FormatFloat(bound, 'g', -1, 64))...))
	}
	return t
}

func (t *times) observe(seconds float64) {
	for i := len(upTo) - 1; i >= 0 && seconds <= upTo[i]; i-- {
		t.buckets[i].Inc()
	}
	t.all.Inc()
	t.count.Inc()
	t.sum.Add(seconds)
}
