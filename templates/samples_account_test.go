package templates

import (
	"html/template"
	"time"
)

var (
	day1 = time.Date(2026, 3, 2, 8, 15, 0, 0, time.UTC)
	day2 = time.Date(2026, 10, 14, 16, 40, 0, 0, time.UTC)
	day3 = time.Date(2026, 11, 23, 7, 5, 0, 0, time.UTC)
)

const (
	firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
	safari  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)

// What is long, and has no place to break.
const (
	longName  = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
	longEmail = "a.very.long.address.that.somebody.was.given.by.an.organisation@department.of.administrative.affairs.example"
)

func long(f Frame) Frame {
	f.SiteName = longName
	return f
}

// qr is a small picture in place of a real code.
const qr = template.URL("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")

func rules(states ...string) []RuleLine {
	lines := []RuleLine{{"length", 8, ""}, {"kinds", 3, ""}, {"names", 0, ""}, {"common", 0, ""}, {"breached", 0, ""}, {"history", 5, ""}}
	for i, s := range states {
		lines[i].State = s
	}
	return lines
}

// stepSamples are the pages between password and session, and the ways back in.
func stepSamples(locale string) map[string]Page {
	frame := testFrame(locale, "/sign-in/f1")
	at := func(path string) Frame { return testFrame(locale, path) }
	codes := []string{"7QFT-2M9K-X4WC-8R0B", "0ZJH-YV63-KD5N-QW1T", "M2PX-9C4R-T7GE-5HSA", "B8NY-3KQV-W6DJ-Z0FM", "4HTC-R1XS-P9ME-7YGB", "V5KD-N8WZ-2QJA-H3RT", "G6SE-0BMF-Y4XP-C9VK", "T1RJ-7HDQ-5NWA-M8ZX", "E9XC-P2GV-3TBK-S6YF", "W0MA-4ZRN-J7HE-D5QP"}
	lines := []SessionLine{{"s2", safari, "203.0.113.0/24", day1, day2, "phr", false, false, ""}, {"s3", "curl/8.5", "", day2, day2, "aal1", false, false, ""}}
	return map[string]Page{
		"sign_in_passkey":       SignInPage{Frame: frame, Action: "/sign-in/f1", ClientName: "Agent Desk", ForgotURL: "/forgot?flow=f1", PasskeyURL: "/sign-in/f1/passkey/options", PasskeyAction: "/sign-in/f1/passkey", CancelURL: "/oauth/authorize/f1?cancel=1"},
		"sign_in_again":         SignInPage{Frame: frame, Action: "/sign-in/f1", Email: "raj@acme.example", FixedEmail: true, CancelURL: "/account"},
		"sign_in_notice":        SignInPage{Frame: frame, Action: "/sign-in/f1", Email: "raj@acme.example", Notice: "password_reset", ForgotURL: "/forgot"},
		"code":                  CodePage{Frame: frame, Action: "/sign-in/f1/factor", ClientName: "Agent Desk", AgentEmail: "raj@acme.example", RememberDays: 14, PasskeyURL: "/sign-in/f1/passkey/options", PasskeyAction: "/sign-in/f1/passkey", CancelURL: "/oauth/authorize/f1?cancel=1"},
		"code_long":             CodePage{Frame: long(frame), Action: "/sign-in/f1/factor", ClientName: longName, AgentEmail: longEmail, RememberDays: 14, PasskeyURL: "/sign-in/f1/passkey/options", PasskeyAction: "/sign-in/f1/passkey", CancelURL: "/oauth/authorize/f1?cancel=1"},
		"code_wrong":            CodePage{Frame: frame, Action: "/sign-in/f1/factor", ClientName: "Agent Desk", AgentEmail: "raj@acme.example", Problem: "wrong_code", RememberDays: 14, Remember: true},
		"code_recovery_wrong":   CodePage{Frame: frame, Action: "/sign-in/f1/factor", ClientName: "Agent Desk", AgentEmail: "raj@acme.example", Problem: "recovery_wrong", RememberDays: 14},
		"code_too_many":         CodePage{Frame: frame, Action: "/sign-in/f1/factor", AgentEmail: "raj@acme.example", Problem: "too_many_codes", NoCodes: true},
		"code_recovery":         CodePage{Frame: frame, Action: "/sign-in/f1/factor", AgentEmail: "raj@acme.example", NoApp: true},
		"code_no_app":           CodePage{Frame: frame, Action: "/sign-in/f1/factor", AgentEmail: "raj@acme.example", NoApp: true, RememberDays: 1, PasskeyURL: "/sign-in/f1/passkey/options", PasskeyAction: "/sign-in/f1/passkey"},
		"code_passkey":          CodePage{Frame: frame, Action: "/sign-in/f1/factor", ClientName: "Agent Desk", AgentEmail: "raj@acme.example", OnlyPasskey: true, SkipAction: "/sign-in/f1/skip/factor", PasskeyURL: "/sign-in/f1/passkey/options", PasskeyAction: "/sign-in/f1/passkey", CancelURL: "/oauth/authorize/f1?cancel=1"},
		"enrol":                 EnrolPage{Frame: frame, Action: "/sign-in/f1/enrol", AgentEmail: "raj@acme.example", Enrolment: "e1", QR: qr, Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", URI: "otpauth://totp/Acme%20Support:raj%40acme.example?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Acme%20Support", GraceUntil: day3, SkipAction: "/sign-in/f1/skip", PasskeyURL: "/sign-in/f1/enrol/passkey/options", PasskeyAction: "/sign-in/f1/enrol/passkey"},
		"enrol_required":        EnrolPage{Frame: frame, ClientName: "Agent Desk", CancelURL: "/oauth/authorize/f1?cancel=1", Action: "/sign-in/f1/enrol", Enrolment: "e1", QR: qr, Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", Required: true, Name: "My phone", Problem: "wrong_code"},
		"enrol_account":         EnrolPage{Frame: at("/account/factors/totp"), Action: "/account/factors/totp", CSRF: "c5rf", Enrolment: "e1", QR: qr, Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", Problem: "name_invalid", CancelURL: "/account/factors"},
		"passkey":               PasskeyPage{Frame: at("/account/factors/passkey"), Action: "/account/factors/passkey", CSRF: "c5rf", OptionsURL: "/account/factors/passkey/options", CancelURL: "/account/factors"},
		"passkey_exists":        PasskeyPage{Frame: at("/account/factors/passkey"), Action: "/account/factors/passkey", CSRF: "c5rf", OptionsURL: "/account/factors/passkey/options", Name: "Work laptop", Problem: "passkey_exists"},
		"recovery_codes":        RecoveryCodesPage{Frame: frame, Action: "/sign-in/f1/codes", AgentEmail: "raj@acme.example", Codes: codes},
		"recovery_codes_unkept": RecoveryCodesPage{Frame: frame, Action: "/account/factors/codes", CSRF: "c5rf", Codes: codes, Renewed: true, Problem: "saved_missing"},
		"new_password_expired":  NewPasswordPage{Frame: frame, ClientName: "Agent Desk", CancelURL: "/oauth/authorize/f1?cancel=1", Action: "/sign-in/f1/password", Kind: PasswordExpired, Email: "raj@acme.example", Rules: rules(), CheckURL: "/sign-in/f1/password/check"},
		"new_password_warning":  NewPasswordPage{Frame: frame, Action: "/sign-in/f1/password", Kind: PasswordWarning, Days: 3, Email: "raj@acme.example", Rules: rules(), CheckURL: "/sign-in/f1/password/check", SkipAction: "/sign-in/f1/skip"},
		"new_password_must":     NewPasswordPage{Frame: frame, Action: "/sign-in/f1/password", Kind: PasswordMustChange, Email: "raj@acme.example", Rules: rules()[:2], NeedsCurrent: true, Problems: []string{"current_wrong"}, CancelURL: "/"},
		"new_password_reset":    NewPasswordPage{Frame: at("/reset"), Action: "/reset", Kind: PasswordReset, Email: "raj@acme.example", Rules: rules(), CheckURL: "/reset/check"},
		"new_password_invited":  NewPasswordPage{Frame: at("/invitation"), Action: "/invitation", Kind: PasswordInvitation, Email: "raj@acme.example", Rules: rules(), CheckURL: "/reset/check"},
		"new_password_problems": NewPasswordPage{Frame: at("/reset"), Action: "/reset", Kind: PasswordReset, Email: "raj@acme.example", Rules: append(rules(RuleOK, RuleFailed, RuleOK, RuleFailed, RuleOK, RuleFailed), RuleLine{"too_long", 128, RuleFailed}), CheckURL: "/reset/check", Problems: []string{"confirm_mismatch", "password_missing", "changed_meanwhile"}},
		"forgot":                ForgotPage{Frame: at("/forgot"), Action: "/forgot?flow=f1", BackURL: "/sign-in/f1"},
		"forgot_wrong":          ForgotPage{Frame: at("/forgot"), Action: "/forgot", Email: "raj@acme", Problem: "email_invalid"},
		"forgot_sent":           ForgotSentPage{Frame: at("/forgot"), Email: "raj@acme.example", Minutes: 30, BackURL: "/sign-in/f1"},
		"reset_done":            ResetDonePage{Frame: at("/reset"), Email: "raj@acme.example", SignInURL: "/account"},
		"reset_done_invited":    ResetDonePage{Frame: at("/invitation"), Email: "raj@acme.example", Invited: true, SignInURL: "/account"},
		"mail_off":              MailOffPage{Frame: at("/forgot"), BackURL: "/sign-in/f1"},
		"sessions_full":         SessionsFullPage{Frame: frame, Action: "/sign-in/f1/sessions", ClientName: "Agent Desk", Limit: 2, Sessions: lines, CancelURL: "/oauth/authorize/f1?cancel=1"},
		"sessions_full_one":     SessionsFullPage{Frame: frame, Action: "/sign-in/f1/sessions", Limit: 1, Sessions: lines[:1]},
		"break_glass":           BreakGlassPage{Frame: at("/break-glass"), Action: "/break-glass", Minutes: 15},
		"break_glass_wrong":     BreakGlassPage{Frame: at("/break-glass"), Action: "/break-glass", Email: "ana@acme.example", Control: "allowlist", Minutes: 15, Problems: []string{"break_glass", "code_missing", "control_missing"}},
		"break_glass_done":      BreakGlassDonePage{Frame: at("/break-glass"), Control: "second_factor", Until: day3, SignInURL: "/account"},
		"error_link_spent":      ErrorPage{Frame: at("/set-up"), Status: 410, Key: "link_spent", RequestID: "5f0c1e7a9b24d3c86a10"},
		"link_cut":              LinkSpentPage{Frame: at("/reset"), Why: LinkCut, ForgotURL: "/forgot", SignInURL: "/account"},
		"link_expired":          LinkSpentPage{Frame: at("/reset"), Why: LinkExpired, ForgotURL: "/forgot", SignInURL: "/account"},
		"link_used":             LinkSpentPage{Frame: at("/reset"), Why: LinkUsed, ForgotURL: "/forgot", SignInURL: "/account"},
		"link_replaced":         LinkSpentPage{Frame: at("/reset"), Why: LinkReplaced, ForgotURL: "/forgot", SignInURL: "/account"},
		"link_void":             LinkSpentPage{Frame: at("/reset"), ForgotURL: "/forgot", SignInURL: "/account"},
		"link_mail_off":         LinkSpentPage{Frame: at("/reset"), Why: LinkExpired, SignInURL: "/account"},
	}
}

// accountSamples are the pages of one's own account.
func accountSamples(locale string) map[string]Page {
	at := func(path string) AccountFrame {
		return AccountFrame{Frame: testFrame(locale, path), AgentName: "Raj Patel", AgentEmail: "raj@acme.example", CSRF: "c5rf", SignOutURL: "/oauth/logout"}
	}
	told := func(f AccountFrame, notice, problem string) AccountFrame {
		f.Notice, f.Problem = notice, problem
		return f
	}
	bare := at("/account")
	bare.FactorBy, bare.AgentName = day3, "raj@acme.example"
	events := []ActivityLine{
		{"sign_in.success", "success", day3, firefox, "198.51.100.7", "", false},
		{"sign_in.failure", "refused", day2, safari, "203.0.113.77", "", true},
		{"factor.add", "success", day2, firefox, "198.51.100.7", "My phone", false},
		{"consent.revoke", "success", day1, "", "", "Shift Planner", false},
		{"something.new", "success", day1, "chatelaine", "", "", false},
	}
	sessions := []SessionLine{
		{"s1", firefox, "198.51.100.7", day3, day3, "aal2", true, false, ""},
		{"s2", safari, "203.0.113.77", day1, day2, "phr", false, false, ""},
		{"s3", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "2001:db8::/64", day2, day2, "aal1", false, false, ""},
		{"s4", "", "", day2, day2, "", false, false, ""},
		{"s5", firefox, "198.51.100.9", day2, day2, "aal1", false, true, "Acme SSO"},
		{"s6", firefox, "198.51.100.9", day2, day2, "aal2", false, true, longName},
		{"s7", firefox, "198.51.100.9", day2, day2, "aal1", false, true, ""},
	}
	passkeys := []FactorLine{{"p1", "Work laptop", day1, day3, false, true}, {"p2", "", day2, time.Time{}, true, false}}
	totps := []FactorLine{{"t1", "My phone", day1, day2, false, false}}
	devices := []DeviceLine{{"d1", firefox, "198.51.100.7", day1, day3, day3.AddDate(0, 0, 14), true}, {"d2", safari, "", day1, day2, day2.AddDate(0, 0, 14), false}}
	factors := AccountFactorsPage{
		AccountFrame: told(at("/account/factors"), "passkey_added", ""), TOTPs: totps, Passkeys: passkeys, CodesLeft: 2, CodesMade: day1, Devices: devices, Required: true,
		AddTOTPURL: "/account/factors/totp", AddPasskeyURL: "/account/factors/passkey", RenameAction: "/account/factors/rename", RemoveAction: "/account/factors/remove",
		CodesAction: "/account/factors/codes", ForgetAction: "/account/factors/forget", ForgetAllAction: "/account/factors/forget-all",
	}
	none := AccountFactorsPage{AccountFrame: bare, AddTOTPURL: "/account/factors/totp", AddPasskeyURL: "/account/factors/passkey"}
	confirm := func(kind, name string, count int) ConfirmPage {
		return ConfirmPage{AccountFrame: at("/account/factors/remove"), Kind: kind, Name: name, Count: count, Action: "/account/factors/remove", Fields: []Field{{"id", "p1"}}, CancelURL: "/account/factors"}
	}
	wide := factors
	wide.AccountFrame = at("/account/factors")
	wide.Frame, wide.AgentName, wide.AgentEmail = long(wide.Frame), longName, longEmail
	wide.TOTPs = []FactorLine{{"t1", longName, day1, day2, false, false}, {"t2", "عملي", day1, day2, false, false}}
	return map[string]Page{
		"account_factors_long":      wide,
		"account":                   AccountPage{AccountFrame: at("/account"), HasPassword: true, PasswordChanged: day2, PasswordDays: 3, TOTPs: 1, Passkeys: 2, CodesLeft: 8, Devices: 2, Sessions: 4, Apps: 2, Activity: events[:3], BreakGlassURL: "/account/break-glass"},
		"account_new":               AccountPage{AccountFrame: bare, Sessions: 1},
		"account_expired":           AccountPage{AccountFrame: told(at("/account"), "", "changed_meanwhile"), HasPassword: true, PasswordChanged: day1, PasswordExpired: true, Sessions: 1, Activity: events[4:]},
		"account_profile":           AccountProfilePage{AccountFrame: told(at("/account/profile"), "profile_saved", ""), Action: "/account/profile", Name: "Raj Patel", GivenName: "Raj", FamilyName: "Patel", Roles: []string{"Agent", "Supervisor"}, Departments: []string{"Billing"}},
		"account_profile_problems":  AccountProfilePage{AccountFrame: at("/account/profile"), Action: "/account/profile", GivenName: "Raj", Problems: []string{"name_missing", "given_name_too_long", "family_name_invalid"}},
		"account_profile_read_only": AccountProfilePage{AccountFrame: at("/account/profile"), Action: "/account/profile", Name: "Raj Patel", GivenName: "Raj", FamilyName: "Patel", ReadOnly: true},
		"account_password":          AccountPasswordPage{AccountFrame: at("/account/password"), Action: "/account/password", HasPassword: true, Changed: day2, Days: 1, Rules: rules(), CheckURL: "/account/password/check", NeedsCurrent: true, Ends: 3},
		"account_password_problems": AccountPasswordPage{AccountFrame: at("/account/password"), Action: "/account/password", HasPassword: true, Changed: day2, Rules: rules(RuleFailed, RuleOK, RuleOK, RuleOK, RuleOK, RuleFailed), CheckURL: "/account/password/check", NeedsCurrent: true, Problems: []string{"current_missing"}},
		"account_password_wait":     AccountPasswordPage{AccountFrame: at("/account/password"), Action: "/account/password", HasPassword: true, Changed: day3, NotBefore: day3.AddDate(0, 0, 1)},
		"account_password_off":      AccountPasswordPage{AccountFrame: at("/account/password"), Off: true},
		"account_password_first":    AccountPasswordPage{AccountFrame: at("/account/password"), Action: "/account/password", Rules: rules(), CheckURL: "/account/password/check"},
		"account_break_glass":       AccountBreakGlassPage{AccountFrame: at("/account/break-glass"), Action: "/account/break-glass", Controls: []string{"second_factor", "allowlist", "single_sign_on"}, Minutes: 15},
		"account_break_glass_on":    AccountBreakGlassPage{AccountFrame: told(at("/account/break-glass"), "glass_lifted", ""), Action: "/account/break-glass", Lifted: "allowlist", Until: day3},
		"account_factors":           factors,
		"account_factors_none":      none,
		"account_sessions":          AccountSessionsPage{AccountFrame: told(at("/account/sessions"), "session_ended", ""), Sessions: sessions, EndAction: "/account/sessions/end", EndOthersAction: "/account/sessions/end-others"},
		"account_sessions_one":      AccountSessionsPage{AccountFrame: at("/account/sessions"), Sessions: sessions[:1]},
		"account_apps": AccountAppsPage{AccountFrame: at("/account/apps"), RevokeAction: "/account/apps/revoke", Apps: []AppLine{
			{ID: "planner", Name: "Shift Planner", Company: "Rota Ltd", URI: "https://rota.example/about", Scopes: []ScopeLine{{"openid", ""}, {"profile", ""}, {"custom.rota", "Read and change your shifts"}}, Given: day1},
			{ID: "desk", Name: "Agent Desk", Company: "Acme", Scopes: []ScopeLine{{"chat", ""}}, Fixed: true}}},
		"account_apps_none":      AccountAppsPage{AccountFrame: at("/account/apps")},
		"account_activity":       AccountActivityPage{AccountFrame: at("/account/activity"), Events: events, MoreURL: "/account/activity?before=42"},
		"account_activity_none":  AccountActivityPage{AccountFrame: at("/account/activity")},
		"confirm_remove_passkey": confirm("remove_passkey", "Work laptop", 0),
		"confirm_remove_last":    confirm("remove_last", "", 0),
		"confirm_renew_codes":    confirm("renew_codes", "", 2),
		"confirm_end_others":     confirm("end_others", "", 3),
		"confirm_revoke_app":     confirm("revoke_app", "Shift Planner", 0),
		"confirm_something":      confirm("something_new", "", 0),
	}
}
