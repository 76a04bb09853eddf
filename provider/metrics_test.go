package provider

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
)

func TestAnswersAreCountedAsPrometheusReadsThem(t *testing.T) {
	t.Parallel()
	set := vm.NewSet()
	m := newMetrics(set)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			m.observe("GET /oauth/jwks", "GET", 200, 3*time.Millisecond)
			m.observe("GET /oauth/jwks", "GET", 200, 7*time.Second)
			m.observe("", "BREW", 404, time.Millisecond)
		})
	}
	wg.Wait()
	var out bytes.Buffer
	set.WritePrometheus(&out)
	for _, line := range []string{
		`chatelaine_http_requests_total{method="GET",route="GET /oauth/jwks",status="200"} 100`,
		`chatelaine_http_requests_total{method="other",route="other",status="404"} 50`,
		`chatelaine_http_request_seconds_bucket{route="GET /oauth/jwks",le="0.0025"} 0`,
		`chatelaine_http_request_seconds_bucket{route="GET /oauth/jwks",le="0.005"} 50`,
		`chatelaine_http_request_seconds_bucket{route="GET /oauth/jwks",le="5"} 50`,
		`chatelaine_http_request_seconds_bucket{route="GET /oauth/jwks",le="+Inf"} 100`,
		`chatelaine_http_request_seconds_count{route="GET /oauth/jwks"} 100`,
		`chatelaine_http_request_seconds_bucket{route="other",le="0.001"} 50`,
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

func TestCountingAnAnswerAllocatesNothing(t *testing.T) {
	m := newMetrics(vm.NewSet())
	if n := testing.AllocsPerRun(100, func() { m.observe("GET /oauth/jwks", "GET", 200, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations for one answer", n)
	}
}
