package main

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
)

// The administrator panel stands in for the console: it does its two things by
// the operations behind the commands. Its address holds a random key, since it
// asks for no sign-in.

type stagePage struct {
	Base   string
	Agents []stageAgent
	Done   string
}

type stageAgent struct {
	agentInfo
	Supervisor bool
}

func (x *desk) staged(w http.ResponseWriter, r *http.Request) bool {
	if subtle.ConstantTimeCompare([]byte(r.PathValue("key")), []byte(x.stageKey)) == 1 {
		return true
	}
	http.NotFound(w, r)
	return false
}

func (x *desk) stage(w http.ResponseWriter, r *http.Request) {
	if !x.staged(w, r) {
		return
	}
	page := stagePage{Base: "/administrator/" + x.stageKey, Done: r.URL.Query().Get("done")}
	for _, email := range []string{demoRaj, demoSam} {
		var a agentInfo
		if err := x.demo.control.do(r.Context(), request{op: "agents/show", in: map[string]any{"email": email}, out: &a}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		page.Agents = append(page.Agents, stageAgent{a, slices.Contains(a.Roles, "supervisors")})
	}
	x.render(w, "administrator.html", page)
}

func (x *desk) stageEnd(w http.ResponseWriter, r *http.Request) {
	if !x.staged(w, r) {
		return
	}
	email := r.PostFormValue("email")
	var out struct {
		Ended int `json:"ended"`
	}
	if err := x.demo.control.do(r.Context(), request{op: "agents/end-sessions", in: map[string]any{"email": email}, out: &out}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x.stageDone(w, r, email+": "+endedWords(out.Ended))
}

func (x *desk) stageRoles(w http.ResponseWriter, r *http.Request) {
	if !x.staged(w, r) {
		return
	}
	email, roles, word := r.PostFormValue("email"), []string{"agents"}, " is an agent and no supervisor now"
	if r.PostFormValue("supervisor") == "yes" {
		roles, word = []string{"agents", "supervisors"}, " is a supervisor now"
	}
	if err := x.demo.control.do(r.Context(), request{op: "agents/set-roles", in: map[string]any{"email": email, "roles": roles}}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x.stageDone(w, r, email+word)
}

func (x *desk) stageDone(w http.ResponseWriter, r *http.Request, text string) {
	target := "/administrator/" + x.stageKey + "?done=" + url.QueryEscape(text)
	http.Redirect(w, r, target, http.StatusSeeOther)
}
