module github.com/ory/x

go 1.25.0

require go.opentelemetry.io/otel/trace v1.21.0

require go.opentelemetry.io/otel v1.21.0 // indirect
