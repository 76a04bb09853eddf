package access

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// question is one AuthZEN evaluation request. Members that are not known are
// ignored, as the protocol wants.
type question struct {
	subjectType, subjectID   string
	action                   string
	resourceType, resourceID string
	token                    string
	ip                       netip.Addr
	ipNamed                  bool // the backend spoke of an address, even if it knows none
}

var errQuestion = errors.New("question is incomplete")

// parseQuestion reads subject, action, resource and context; what o leaves out is
// taken from defaults (the batch request's top level).
func parseQuestion(o, defaults object) (question, error) {
	var q question
	part := func(name string) (object, error) {
		if _, ok := o[name]; !ok {
			return defaults.object(name)
		}
		return o.object(name)
	}
	subject, err := part("subject")
	if err != nil {
		return q, err
	}
	action, err := part("action")
	if err != nil {
		return q, err
	}
	resource, err := part("resource")
	if err != nil {
		return q, err
	}
	context, err := part("context")
	if err != nil {
		return q, err
	}
	for _, f := range []struct {
		from object
		name string
		to   *string
	}{
		{subject, "type", &q.subjectType}, {subject, "id", &q.subjectID}, {action, "name", &q.action},
		{resource, "type", &q.resourceType}, {resource, "id", &q.resourceID}, {context, "token", &q.token},
	} {
		if *f.to, _, err = f.from.text(f.name); err != nil {
			return q, err
		}
	}
	if err := q.readIP(context); err != nil {
		return q, err
	}
	return q, q.check()
}

// readIP takes the address as the backend's socket names it: a mapped one is the
// IPv4 address, a zone is not accepted, an empty string means that the backend
// does not know.
func (q *question) readIP(context object) error {
	text, ok, err := context.text("ip")
	if err != nil || !ok {
		return err
	}
	q.ipNamed = true
	if text == "" {
		return nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return web.Public(fmt.Errorf("%w: %w", web.ErrBadRequest, errQuestion), "context.ip is not an IP address")
	}
	q.ip = addr.Unmap()
	return nil
}

func (q *question) check() error {
	missing := ""
	switch {
	case q.token == "" && (q.subjectType == "" || q.subjectID == ""):
		missing = "subject.type and subject.id, or context.token"
	case (q.subjectType == "") != (q.subjectID == ""):
		missing = "subject.type and subject.id together"
	case q.action == "":
		missing = "action.name"
	case (q.resourceType == "") != (q.resourceID == ""): // without a resource: the action as such
		missing = "resource.type and resource.id together"
	default:
		return nil
	}
	return web.Public(fmt.Errorf("%w: %w", web.ErrBadRequest, errQuestion), "the request needs "+missing)
}
