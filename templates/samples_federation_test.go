package templates

import "time"

// logins are the first n of some customers' own logins.
func logins(n int) []ConnectionLink {
	names := []string{"Acme SSO", "Entra ID", "Google Workspace", "Okta", "Rota Ltd", longName, "Keycloak <test>", "عملي"}
	links := make([]ConnectionLink, n)
	for i := range links {
		id := string(rune('a' + i))
		links[i] = ConnectionLink{"c" + id, names[i], "/federation/c" + id + "/start?flow=f1"}
	}
	return links
}

// federationSamples are the pages around signing in somewhere else.
func federationSamples(locale string) map[string]Page {
	frame := testFrame(locale, "/sign-in/f1")
	at := func(path string) Frame { return testFrame(locale, path) }
	shop := at("/federation/choose")
	shop.Window = Window{ModeFrame, "https://shop.example"}
	failed := func(code, name string) FederationErrorPage {
		return FederationErrorPage{Frame: at("/federation/corp/acs"), Code: code, ConnectionName: name, RequestID: "5f0c1e7a9b24d3c86a10", RetryURL: "/federation/corp/start?flow=f1", SignInURL: "/sign-in/f1", CancelURL: "/oauth/authorize/f1?cancel=1", ClientName: "Agent Desk"}
	}
	bare := failed("user_not_found", "")
	bare.RetryURL, bare.CancelURL, bare.ClientName = "", "/", ""
	blind := failed("something_new", longName)
	blind.SignInURL, blind.CancelURL = "", ""
	administrator := func(shut bool) FederationErrorPage {
		p := failed("not_linked_administrator", "Acme SSO")
		if p.RetryURL, p.RehearseURL = "", "/federation/corp/rehearse"; shut {
			p.RehearseURL, p.SignInURL, p.PasswordsOff = "", "/break-glass", true
		}
		return p
	}
	said := []SaidLine{{"urn:oid:0.9.2342.19200300.100.1.3", []string{"ana@acme.example"}}, {"memberOf", []string{"cn=supervisors,ou=groups,dc=acme,dc=example", "cn=staff,ou=groups,dc=acme,dc=example"}}, {"telephoneNumber", nil}}
	return map[string]Page{
		"sign_in_one":             SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", ForgotURL: "/forgot", Connections: logins(1)},
		"sign_in_rehearse":        SignInPage{Frame: frame, Action: "/sign-in/f1", Rehearses: "Acme SSO", Email: "ana@acme.example", FixedEmail: true, ForgotURL: "/forgot"},
		"sign_in_three":           SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", PasskeyURL: "/sign-in/f1/passkey/options", PasskeyAction: "/sign-in/f1/passkey", Connections: logins(3)},
		"sign_in_eight":           SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", ForgotURL: "/forgot", Connections: logins(8), CancelURL: "/oauth/authorize/f1?cancel=1"},
		"sign_in_by_domain":       SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", ForgotURL: "/forgot", ByDomain: true},
		"sign_in_by_domain_wrong": SignInPage{Frame: frame, Action: "/sign-in/f1", Problem: "email_missing", ByDomain: true},
		"sign_in_sso_only":        SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", Email: "raj@acme.example", Problem: "sso_only", ProblemConnection: "Entra ID", Connections: logins(3)},
		"sign_in_sso_only_bare":   SignInPage{Frame: frame, Action: "/sign-in/f1", Email: "raj@acme.example", Problem: "sso_only"},
		"elsewhere_invited":       ElsewherePage{Frame: at("/reset"), Connection: logins(1)[0], Email: "raj@acme.example", Invited: true},
		"elsewhere_reset":         ElsewherePage{Frame: at("/reset"), Connection: ConnectionLink{"corp", longName, "/federation/corp/start"}, Email: longEmail},
		"elsewhere_shut":          ElsewherePage{Frame: at("/reset"), Connection: logins(1)[0], Email: "ana@acme.example", Shut: true},
		"federation_error":        failed("token_expired", "Acme SSO"),
		"federation_error_asked":  FederationErrorPage{Frame: at("/federation/corp/acs"), Code: "not_asked", ConnectionName: "Acme SSO", RequestID: "5f0c1e7a9b24d3c86a10", RetryURL: "/federation/corp/start", SignInURL: "/account"},
		"federation_error_bare":   bare,
		"federation_error_other":  blind,
		"federation_error_admin":  administrator(false),
		"federation_error_shut":   administrator(true),
		"federation_confirm":      FederationConfirmPage{Frame: at("/federation/corp/acs"), Action: "/federation/corp/resume", Handle: "h4ndle", ConnectionName: "Acme SSO", Email: "raj@acme.example", CancelURL: "/"},
		"federation_confirm_else": FederationConfirmPage{Frame: at("/federation/corp/acs"), Action: "/federation/corp/resume", Handle: "h4ndle", Email: longEmail, CurrentEmail: "ana@acme.example"},
		"rehearse":                RehearsePage{Frame: at("/federation/corp/rehearse"), Action: "/federation/corp/rehearse", CSRF: "c5rf", ConnectionName: "Acme SSO", Email: "ana@acme.example", Domains: []string{"acme.example", "acme.test"}, Links: true, BackURL: "/account"},
		"rehearse_linked":         RehearsePage{Frame: at("/federation/corp/rehearse"), Action: "/federation/corp/rehearse", CSRF: "c5rf", ConnectionName: "Acme SSO", Email: "ana@acme.example"},
		"rehearsed": RehearsedPage{Frame: at("/federation/corp/rehearsed"), ConnectionName: "Acme SSO", OK: true, Said: said, Unlinked: []string{"raj@acme.example", longEmail}, NextURL: "/account",
			RehearseURL: "https://id.acme.example/federation/corp/rehearse", Enforce: "connections: [{id: corp, enforce: true}]",
			Checks: []CheckLine{{Name: "signature", OK: true}, {Name: "audience", OK: true, Expected: "https://id.acme.example/federation/corp", Got: "https://id.acme.example/federation/corp"}, {Name: "something_new", OK: true}, {Name: "attribute departments", OK: true, Expected: "departments or teams", Absent: true}},
			Got:    []SaidLine{{"email", []string{"ana@acme.example"}}, {"roles", []string{"supervisors"}}, {"departments", nil}}},
		"rehearsed_differs": RehearsedPage{Frame: at("/federation/corp/rehearsed"), ConnectionName: "Acme SSO", OK: true, Email: "ana@acme.example", EmailThere: longEmail, NextURL: "/account"},
		"rehearsed_linked": RehearsedPage{Frame: at("/federation/corp/rehearsed"), ConnectionName: "Acme SSO", Code: "linked_to_another", Reason: "the subject is linked to another account", RequestID: "5f0c1e7a9b24d3c86a10", NextURL: "/federation/corp/rehearse",
			Unlink: "chatelaine agent unlink " + longEmail + " --connection corp", Checks: []CheckLine{{Name: "xml", OK: true}, {Name: "authn_statement", OK: true}}},
		"rehearsed_failed": RehearsedPage{Frame: at("/federation/corp/rehearsed"), ConnectionName: "Acme SSO", Code: "token_invalid", Reason: "the answer is for another audience", RequestID: "5f0c1e7a9b24d3c86a10", NextURL: "/federation/corp/rehearse",
			Checks: []CheckLine{{Name: "signature", OK: true}, {Name: "audience", Expected: "https://id.acme.example/federation/corp", Got: "https://id.acme.example/federation/" + longName}, {Name: "clock"}}},
		"lead":                    LeadPage{Frame: frame, Connection: logins(1)[0]},
		"provider_post":           ProviderPostPage{Frame: at("/federation/corp/start"), Action: "https://idp.example/sso", ConnectionName: "Acme SSO", Fields: [][2]string{{"SAMLRequest", "PHNhbWxwOkF1dGhuUmVxdWVzdC8+"}, {"RelayState", "r1"}}},
		"sign_out_federated":      SignOutPage{Frame: at("/oauth/logout"), Action: "/oauth/logout", CSRF: "c5rf", AgentName: "Raj Patel", ConnectionName: "Acme SSO", CancelURL: "/account"},
		"single_sign_out":         SingleSignOutPage{Frame: at("/federation/corp/slo"), ConnectionName: "Acme SSO", URL: "https://idp.example/slo?SAMLRequest=x", ReturnURL: "/"},
		"single_sign_out_post":    SingleSignOutPage{Frame: at("/federation/corp/slo"), ConnectionName: "Acme SSO", Action: "https://idp.example/slo", Fields: [][2]string{{"SAMLRequest", "eA=="}}, ReturnURL: "http://localhost:8081/", ClientName: "Agent Desk"},
		"single_sign_out_done":    SingleSignOutPage{Frame: at("/federation/corp/slo"), ConnectionName: "Acme SSO", Done: true, ReturnURL: "http://localhost:8081/", ClientName: "Agent Desk"},
		"single_sign_out_partial": SingleSignOutPage{Frame: at("/federation/corp/slo"), ConnectionName: "Acme SSO", Done: true, Partial: true, SignInURL: "/account"},
		"visitor_done":            VisitorDonePage{Frame: at("/federation/shop/callback"), Mode: ModePopup, Origin: "https://shop.example", Code: "c0de", State: "st4te"},
		"visitor_done_frame":      VisitorDonePage{Frame: at("/federation/shop/callback"), Mode: ModeFrame, Origin: "https://shop.example", Code: "c0de", State: "st4te"},
		"visitor_failed":          VisitorFailedPage{Frame: at("/federation/shop/callback"), Mode: ModePopup, Origin: "https://shop.example", State: "st4te", Code: "provider_refused", RequestID: "5f0c1e7a9b24d3c86a10"},
		"visitor_failed_frame":    VisitorFailedPage{Frame: at("/federation/shop/callback"), Mode: ModeFrame, Origin: "https://shop.example", State: "st4te", Code: "token_invalid", RequestID: "5f0c1e7a9b24d3c86a10"},
		"visitor_failed_stranger": VisitorFailedPage{Frame: at("/federation/shop/start"), Mode: ModePopup, Code: "origin_not_allowed", RequestID: "5f0c1e7a9b24d3c86a10"},
		"visitor_choose":          VisitorChoosePage{Frame: shop, Connections: logins(2)},
		"visitor_choose_none":     VisitorChoosePage{Frame: shop},
		"account_links_off": AccountPage{AccountFrame: AccountFrame{Frame: at("/account"), AgentName: "Raj Patel", AgentEmail: "raj@acme.example", CSRF: "c5rf", SignOutURL: "/oauth/logout"}, Sessions: 1,
			HasPassword: true, PasswordsOff: true, PasswordChanged: day2, Links: []AccountLink{{"l1", "Acme SSO", "raj.patel@acme.example", day2, ""}}},
		"account_links_password": AccountPage{AccountFrame: AccountFrame{Frame: at("/account"), AgentName: "Raj Patel", AgentEmail: "raj@acme.example", CSRF: "c5rf", SignOutURL: "/oauth/logout"}, Sessions: 1,
			HasPassword: true, PasswordChanged: day2, Links: []AccountLink{{"l1", "Acme SSO", "raj.patel@acme.example", day2, "/account/links/l1/remove"}}},
		"account_links": AccountPage{AccountFrame: AccountFrame{Frame: at("/account"), AgentName: "Raj Patel", AgentEmail: "raj@acme.example", CSRF: "c5rf", SignOutURL: "/oauth/logout"}, Sessions: 1,
			Links: []AccountLink{{"l1", "Acme SSO", "raj.patel@acme.example", day2, "/account/links/l1/remove"}, {"l2", longName, "", time.Time{}, ""}}},
	}
}
