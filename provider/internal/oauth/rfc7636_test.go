package oauth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 7636; SECURITY's group PKCE.

func TestAChallengeIsS256AndNothingElse(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	good := ask("RP", callback).Get("code_challenge")
	for name, change := range map[string][]string{
		"none":                {"code_challenge", "", "code_challenge_method", ""},
		"method without":      {"code_challenge", ""},
		"no method":           {"code_challenge_method", ""},
		"plain":               {"code_challenge_method", "plain"},
		"lower case":          {"code_challenge_method", "s256"},
		"a space":             {"code_challenge_method", "S256 "},
		"S512":                {"code_challenge_method", "S512"},
		"padding":             {"code_challenge", good + "="},
		"10 KiB":              {"code_challenge", strings.Repeat("a", 10<<10)},
		"42 characters":       {"code_challenge", good[:42]},
		"trailing bits":       {"code_challenge", strings.Repeat("A", 42) + "B"},
		"the other alphabet":  {"code_challenge", strings.Repeat("+", 43)},
		"a line break inside": {"code_challenge", good[:42] + "\n"},
	} {
		for client, redirect := range map[string]string{"RP": callback, "APP": native} {
			got := h.authorize(ask(client, redirect, change...)).back(t, redirect)
			if got.Get("error") != "invalid_request" || got.Has("code") {
				t.Errorf("%s, %s: %v", client, name, got)
			}
		}
	}
}

func TestAFlowWithAChallengeNeedsItsVerifier(t *testing.T) {
	storetest.OnBothEngines(t, testAFlowWithAChallengeNeedsItsVerifier)
}

func testAFlowWithAChallengeNeedsItsVerifier(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	for name, wrong := range map[string]string{
		"missing": "", "wrong": strings.Repeat("a", 43), "42 characters": verifier[:42], "129 characters": strings.Repeat("a", 129),
		"an illegal character": verifier[:43] + "!", "the challenge": ask("RP", callback).Get("code_challenge"),
	} {
		code := h.code(ask("RP", callback))
		h.redeem("RP", callback, code, "code_verifier", wrong).wantError(t, http.StatusBadRequest, "invalid_grant")
		if a := h.redeem("RP", callback, code); a.Code == http.StatusOK {
			t.Errorf("%s: the code has survived a wrong verifier", name)
		}
		if a := h.redeem("RP", callback, code, "code_verifier", ""); a.Code == http.StatusOK {
			t.Errorf("%s: the code redeems without a verifier", name)
		}
	}
}

func TestAFlowWithoutAChallengeTakesNoVerifier(t *testing.T) {
	storetest.OnBothEngines(t, testAFlowWithoutAChallengeTakesNoVerifier)
}

func testAFlowWithoutAChallengeTakesNoVerifier(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	const redirect = "https://old.example/cb"
	bare := func() string {
		return h.code(ask("OLD", redirect, "scope", "openid", "code_challenge", "", "code_challenge_method", ""))
	}
	h.redeem("OLD", redirect, bare()).wantError(t, http.StatusBadRequest, "invalid_grant") // it was stripped on the way
	if a := h.redeem("OLD", redirect, bare(), "code_verifier", ""); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
	code := h.code(ask("OLD", redirect, "scope", "openid"))
	h.redeem("OLD", redirect, code, "code_verifier", "").wantError(t, http.StatusBadRequest, "invalid_grant")
}
