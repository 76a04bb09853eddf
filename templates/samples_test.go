package templates

import (
	"maps"
	"net/url"
)

// frame is the frame of a made-up site's page in a locale.
func testFrame(locale, path string) Frame {
	return Frame{SiteName: "Acme Support", Locale: locale, Nonce: "bm9uY2U", LocaleLinks: LocaleLinks(&url.URL{Path: path})}
}

// samples are the pages in the states that people meet them in.
func samples(locale string) map[string]Page {
	frame := testFrame(locale, "/sign-in/f1")
	at := func(path string) Frame { return testFrame(locale, path) }
	colored := frame
	colored.Color, colored.Base, colored.HelpURL, colored.PrivacyURL = "#7a2e8e", "/acme", "mailto:help@acme.example", "https://acme.example/privacy"
	pages := map[string]Page{
		"sign_in":              SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk"},
		"sign_in_wrong":        SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", Email: "raj@acme.example", Problem: "wrong_credentials", ForgotURL: "/forgot"},
		"sign_in_known_email":  SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", Email: "raj@acme.example"},
		"sign_in_email_wanted": SignInPage{Frame: frame, Action: "/sign-in/f1", Problem: "email_missing"},
		"sign_in_everything": SignInPage{Frame: colored, Flow: "f1", Action: "/acme/sign-in/f1", ClientName: "Agent Desk", ForgotURL: "/acme/forgot", CancelURL: "/acme/oauth/authorize/f1?cancel=1",
			Connections: []ConnectionLink{{"corp", "Acme SSO", "/acme/federation/corp/start"}, {"entra", "Entra ID", "/acme/federation/entra/start"}}},
		"consent": ConsentPage{Frame: at("/consent/f1"), Action: "/consent/f1", CSRF: "c5rf", ClientName: "Shift Planner", Company: "Rota Ltd", ClientURI: "https://rota.example/about", LogoURI: "https://rota.example/logo.png",
			AgentName: "Raj Patel", AgentEmail: "raj@acme.example", SwitchURL: "/oauth/authorize/f1?switch=1",
			Scopes: []ScopeLine{{"openid", ""}, {"profile", ""}, {"chat.view_own", "Read their own chats."}, {"custom.rota", "Read and change your shifts"}}},
		"consent_bare":  ConsentPage{Frame: at("/consent/f1"), Action: "/consent/f1", CSRF: "c5rf", ClientName: "tool", AgentName: "Raj Patel"},
		"refused":       RefusedPage{Frame: frame, Reason: "ip_not_allowed", IP: "203.0.113.77", RequestID: "5f0c1e7a9b24d3c86a10", RetryURL: "/sign-in/f1", ClientName: "Agent Desk", CancelURL: "/oauth/authorize/f1?cancel=1"},
		"refused_blind": RefusedPage{Frame: frame, Reason: "ip_unknown", RequestID: "5f0c1e7a9b24d3c86a10"},
		"error": ErrorPage{Frame: at("/oauth/authorize"), Status: 400, Key: "invalid_redirect_uri", RequestID: "5f0c1e7a9b24d3c86a10",
			Detail: "redirect_uri \"http://localhost:8081/callbak\" is not registered for client \"desk\".\nRegistered: http://localhost:8081/callback"},
		"error_internal":    ErrorPage{Frame: at("/sign-in/f1"), Status: 500, Key: "internal", RequestID: "5f0c1e7a9b24d3c86a10"},
		"error_flow":        ErrorPage{Frame: at("/sign-in/f1"), Status: 400, Key: "flow_expired", RequestID: "5f0c1e7a9b24d3c86a10", BackURL: "/"},
		"sign_out":          SignOutPage{Frame: at("/oauth/logout"), Action: "/oauth/logout", CSRF: "c5rf", AgentName: "Raj Patel", ClientName: "Agent Desk", CancelURL: "/", Fields: []Field{{"state", "x&y"}}},
		"signed_out":        SignedOutPage{Frame: at("/oauth/logout"), SignInURL: "/"},
		"signed_out_return": SignedOutPage{Frame: at("/oauth/logout"), ReturnURL: "http://localhost:8081/", ClientName: "Agent Desk"},
		"set_up":            SetUpPage{Frame: at("/set-up/t1"), Action: "/set-up/t1", Rules: rules()[:5], CheckURL: "/set-up/t1/check"},
		"set_up_problems":   SetUpPage{Frame: at("/set-up/t1"), Action: "/set-up/t1", Rules: rules(RuleFailed, RuleOK, RuleOK, RuleFailed)[:5], CheckURL: "/set-up/t1/check", Email: "ana@acme", Name: "Ana Silva", Problems: []string{"email_invalid", "confirm_mismatch"}},
		"set_up_done":       SetUpDonePage{Frame: at("/set-up/t1"), Email: "ana@acme.example", SignInURL: "/"},
		"set_up_done_codes": SetUpDonePage{Frame: at("/set-up/t1"), Email: "ana@acme.example", SignInURL: "/account", BreakGlassURL: "https://id.acme.example/break-glass", BreakGlassCodes: []string{"7QFT-2M9K-X4WC-8R0B-TTJ5", "0ZJH-YV63-KD5N-QW1T-6C2M", "M2PX-9C4R-T7GE-5HSA-1QKD", "B8NY-3KQV-W6DJ-Z0FM-4XRP"}},
		"form_post":         FormPostPage{Frame: at("/oauth/authorize"), Action: "https://desk.example/callback", ClientName: "Agent Desk", Fields: []Field{{"code", "SplxlOBeZQQYbYS6WxSbIA"}, {"state", "af0ifjsldkj"}}},
		"home":              HomePage{Frame: at("/"), SignInURL: "/sign-in", Discovery: "https://id.acme.example/.well-known/openid-configuration"},
		"home_signed_in":    HomePage{Frame: at("/"), AgentName: "Raj Patel", AccountURL: "/account", SignOutURL: "/oauth/logout"},
	}
	maps.Copy(pages, stepSamples(locale))
	maps.Copy(pages, accountSamples(locale))
	maps.Copy(pages, federationSamples(locale))
	return pages
}
