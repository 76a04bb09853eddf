// Package otelx has what fosite asks of github.com/ory/x/otelx: the end of a
// span. No tracer is set up in this product, so spans record nothing.
package otelx

import "go.opentelemetry.io/otel/trace"

// End ends the span.
func End(span trace.Span, _ *error) { span.End() }
