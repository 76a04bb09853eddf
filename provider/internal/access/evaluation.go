package access

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/oauth"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Reasons that only this endpoint gives; the others are policy's.
const (
	reasonTokenInvalid    = "token_invalid"    // not a token of this site
	reasonSubjectMismatch = "subject_mismatch" // the token is somebody else's
)

// maxVisitorID is longer than any that we make.
const maxVisitorID = 128

// maxEvaluations is how many questions one batch may hold.
const maxEvaluations = 100

// answer is AuthZEN's evaluation response.
type answer struct {
	Decision bool          `json:"decision"`
	Context  answerContext `json:"context"`
}

type answerContext struct {
	Reason      string       `json:"reason"`
	ExpiresIn   int          `json:"expires_in"` // seconds that the answer may be kept
	Obligations []obligation `json:"obligations,omitempty"`
}

type obligation struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// evaluation is POST /access/v1/evaluation. A "no" is an answer, with status 200.
func (a *Access) evaluation(w http.ResponseWriter, r *http.Request) error {
	echoRequestID(w, r)
	s := site.From(r.Context())
	client, err := a.caller(w, r, s)
	if err != nil {
		return err
	}
	body, err := readJSON(r)
	if err != nil {
		return err
	}
	q, err := parseQuestion(body, nil)
	if err != nil {
		return err
	}
	d, err := a.judge(r.Context(), s, client, q)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, a.answer(d))
}

// evaluations is the batch form: each item fills in what the top level leaves
// out. Without items it is one evaluation.
func (a *Access) evaluations(w http.ResponseWriter, r *http.Request) error {
	echoRequestID(w, r)
	s := site.From(r.Context())
	client, err := a.caller(w, r, s)
	if err != nil {
		return err
	}
	body, err := readJSON(r)
	if err != nil {
		return err
	}
	questions, single, err := parseBatch(body)
	if err != nil {
		return err
	}
	answers := make([]answer, 0, len(questions))
	for _, q := range questions {
		d, err := a.judge(r.Context(), s, client, q)
		if err != nil {
			return err
		}
		answers = append(answers, a.answer(d))
		if stopsAt(body, d.Allowed) {
			break
		}
	}
	if single {
		return web.WriteJSON(w, http.StatusOK, answers[0])
	}
	return web.WriteJSON(w, http.StatusOK, map[string][]answer{"evaluations": answers})
}

func parseBatch(body object) (questions []question, single bool, err error) {
	items, _ := body["evaluations"].([]any)
	if body["evaluations"] != nil && items == nil {
		return nil, false, badJSON(errors.New("evaluations is not an array"))
	}
	if len(items) == 0 {
		q, err := parseQuestion(body, nil)
		return []question{q}, true, err
	}
	if len(items) > maxEvaluations {
		return nil, false, badJSON(errors.New("there are too many evaluations"))
	}
	for _, item := range items {
		o, ok := item.(object)
		if !ok {
			return nil, false, badJSON(errors.New("an evaluation is not an object"))
		}
		q, err := parseQuestion(o, body)
		if err != nil {
			return nil, false, err
		}
		questions = append(questions, q)
	}
	return questions, false, nil
}

// stopsAt honours options.evaluations_semantic.
func stopsAt(body object, allowed bool) bool {
	options, _ := body.object("options")
	semantic, _, _ := options.text("evaluations_semantic")
	return semantic == "deny_on_first_deny" && !allowed || semantic == "permit_on_first_permit" && allowed
}

func (a *Access) answer(d policy.Decision) answer {
	out := answer{Decision: d.Allowed, Context: answerContext{Reason: d.Reason, ExpiresIn: max(0, int(d.Until.Sub(a.Now()).Round(time.Second)/time.Second))}}
	for _, o := range d.Obligations {
		out.Context.Obligations = append(out.Context.Obligations, obligation(o))
	}
	return out
}

// judge puts the question to policy with what is known of the subject now.
func (a *Access) judge(ctx context.Context, s *site.Site, client *store.Client, q question) (policy.Decision, error) {
	if q.token != "" {
		return a.judgeToken(ctx, s, client, q)
	}
	return a.judgeSubject(ctx, s, q)
}

func (a *Access) refuse(reason string) policy.Decision {
	return policy.Refuse(reason, a.Now().Add(policy.DefaultKeep))
}

func (a *Access) judgeToken(ctx context.Context, s *site.Site, client *store.Client, q question) (policy.Decision, error) {
	token, err := a.OAuth.InspectAt(ctx, s, q.token, q.ip)
	var inactive *oauth.Inactive
	switch {
	case errors.As(err, &inactive) && inactive.Reason != "":
		return a.refuse(inactive.Reason), nil
	case errors.Is(err, oauth.ErrInactive):
		return a.refuse(reasonTokenInvalid), nil
	case err != nil:
		return policy.Decision{}, err
	}
	if !mayJudge(s, client, token) {
		return a.refuse(policy.ReasonAudienceMismatch), nil
	}
	if q.subjectID != "" && (q.subjectID != token.Claims.Subject || q.subjectType != token.Claims.SubjectType) {
		return a.refuse(reasonSubjectMismatch), nil
	}
	request := token.Request(s, a.Now(), q.action)
	request.Resource = policy.Resource{Type: q.resourceType, ID: q.resourceID}
	if q.ipNamed {
		request.IP = q.ip
	}
	return policy.Decide(request), nil
}

// mayJudge says whether the token is meant for this backend: it got the token
// itself, it is registered for the audience, or the token is for the house and
// the backend is the site's own.
func mayJudge(s *site.Site, client *store.Client, token oauth.Token) bool {
	return token.For(client) || client.FirstParty && slices.Contains(token.Claims.Audience, s.Issuer)
}

// judgeVisitor answers by id alone, and by the address that the backend sees: an id
// that no record has may be an anonymous visitor's.
func (a *Access) judgeVisitor(ctx context.Context, s *site.Site, q question) (policy.Decision, error) {
	standing, err := a.Visitors.Stand(ctx, s, records.Token{Subject: q.subjectID})
	if err != nil {
		return policy.Decision{}, err
	}
	return policy.Decide(policy.Request{
		Now: a.Now(), Subject: policy.Subject{Type: policy.Visitor, ID: q.subjectID, Active: true}, Action: q.action,
		Resource: policy.Resource{Type: q.resourceType, ID: q.resourceID}, IP: q.ip, Bans: standing.Bans, Known: standing.Facts,
	}), nil
}

// judgeSubject answers by id alone: what the agent may do, whatever token he has.
func (a *Access) judgeSubject(ctx context.Context, s *site.Site, q question) (policy.Decision, error) {
	if q.subjectType == policy.Visitor && a.Visitors != nil && len(q.subjectID) <= maxVisitorID {
		return a.judgeVisitor(ctx, s, q)
	}
	if q.subjectType != policy.Agent || len(q.subjectID) > store.MaxKey {
		return a.refuse(policy.ReasonSubjectInactive), nil
	}
	var agent store.Agent
	err := a.Store.View(ctx, s.Path, func(tx store.Tx) error {
		var err error
		agent, err = store.Agents.Get(tx, q.subjectID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return a.refuse(policy.ReasonSubjectInactive), nil
	}
	if err != nil {
		return policy.Decision{}, err
	}
	return policy.Decide(policy.Request{
		Now:     a.Now(),
		Subject: policy.Subject{Type: policy.Agent, ID: agent.ID, Roles: agent.Roles, Permissions: s.Permissions(agent.Roles), Active: !agent.Inactive},
		Action:  q.action, Resource: policy.Resource{Type: q.resourceType, ID: q.resourceID},
		IP: q.ip, Allowlist: s.Allowlist,
	}), nil
}

// echoRequestID repeats the caller's X-Request-ID, so that it can match answer
// and question in its logs; ours stays in our own.
func echoRequestID(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-ID")
	if id == "" || len(id) > 128 {
		return
	}
	for _, c := range []byte(id) {
		if c < 0x21 || c > 0x7e {
			return
		}
	}
	w.Header().Set("X-Request-ID", id)
}
