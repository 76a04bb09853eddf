// Package errorsx has what fosite asks of github.com/ory/x/errorsx and nothing
// else: that module brings gRPC, four tracing exporters and a configuration
// framework, and takes a stack trace of every refusal. See
// docs/decisions/0009-a-stand-in-for-ory-x.md.
package errorsx

// WithStack returns err as it is: web logs where an error came from by its
// wrapping.
func WithStack(err error) error { return err }

// Cause returns the innermost error that err gives as its cause.
func Cause(err error) error {
	for err != nil {
		c, ok := err.(interface{ Cause() error })
		if !ok {
			return err
		}
		inner := c.Cause()
		if inner == nil {
			return err
		}
		err = inner
	}
	return nil
}

// StatusCodeCarrier is an error with an HTTP status.
type StatusCodeCarrier interface{ StatusCode() int }

// RequestIDCarrier is an error that knows its request.
type RequestIDCarrier interface{ RequestID() string }

// ReasonCarrier is an error with a reason.
type ReasonCarrier interface{ Reason() string }

// DebugCarrier is an error with something for its developer.
type DebugCarrier interface{ Debug() string }

// StatusCarrier is an error with a status text.
type StatusCarrier interface{ Status() string }
