package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnAssertionIsReadHoweverItIsSigned(t *testing.T) {
	t.Parallel()
	for name, sign := range signedWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustVerify(t, sign(t, plainAssertion), testExpect())
			want := Assertion{
				ID: "_assertion1", ResponseID: "_response1", Issuer: testIssuer, InResponseTo: testRequest,
				NameID:       NameID{Value: "alice@idp.example", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
				IssueInstant: testNow.Add(-2 * time.Second), Until: testNow.Add(-2*time.Second + 6*time.Minute),
				SessionIndex: "_session1", SessionEnds: testNow.Add(8 * time.Hour), AuthnInstant: testNow.Add(-10 * time.Minute),
				AuthnContext: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
				Attributes:   map[string][]string{"mail": {"alice@acme.example"}, "groups": {"staff", "chat & phone"}},
				Friendly:     map[string]string{"email": "mail"}, Certificate: idpSigner().Certificate,
			}
			if diff := cmp.Diff(want, got, cmp.Comparer((*x509.Certificate).Equal)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// statement is something that a provider with the right key says, and that must be refused.
type statement struct {
	old, new string
	by       string
}

var lies = map[string]statement{
	"no Subject":                      {between(plainAssertion, "<saml:Subject>", "</saml:Subject>"), "", CheckNameID},
	"no NameID":                       {between(plainAssertion, "<saml:NameID", "</saml:NameID>"), "", CheckNameID},
	"an empty NameID":                 {"alice@idp.example", "", CheckNameID},
	"a NameID with spaces around it":  {"alice@idp.example", " alice@idp.example ", CheckNameID},
	"a NameID with a newline":         {"alice@idp.example", "alice&#10;@idp.example", CheckNameID},
	"a NameID with half a character":  {"alice@idp.example", "alice&#xD800;@idp.example", CheckNameID},
	"a NameID with DEL":               {"alice@idp.example", "alice&#127;@idp.example", CheckNameID},
	"a NameID that turns text around": {"alice@idp.example", "alice\u202e@idp.example", CheckNameID},
	"a NameID with elements":          {"alice@idp.example", "alice<b/>@idp.example", CheckNameID},
	"a long NameID":                   {"alice@idp.example", strings.Repeat("a", 1025), CheckNameID},
	"two NameIDs":                     {"</saml:NameID>", "</saml:NameID><saml:NameID>bob</saml:NameID>", CheckNameID},
	"no SubjectConfirmation":          {between(plainAssertion, "<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>"), "", CheckSubjectConfirmation},
	"holder of key":                   {"cm:bearer", "cm:holder-of-key", CheckSubjectConfirmation},
	"sender vouches":                  {"cm:bearer", "cm:sender-vouches", CheckSubjectConfirmation},
	"no SubjectConfirmationData":      {between(plainAssertion, "<saml:SubjectConfirmationData", "/>"), "", CheckSubjectConfirmation},
	"no Recipient":                    {` Recipient="` + testACS + `"`, "", CheckRecipient},
	"another Recipient":               {` Recipient="` + testACS + `"`, ` Recipient="https://sp2.example/acs"`, CheckRecipient},
	"a Recipient with a slash more":   {` Recipient="` + testACS + `"`, ` Recipient="` + testACS + `/"`, CheckRecipient},
	"a confirmation without an end":   {` NotOnOrAfter="2026-05-04T12:04:58Z" Recipient`, ` Recipient`, CheckClock},
	"a confirmation that has ended":   {` NotOnOrAfter="2026-05-04T12:04:58Z" Recipient`, ` NotOnOrAfter="2026-05-04T11:59:00Z" Recipient`, CheckClock},
	"a confirmation with NotBefore":   {` NotOnOrAfter="2026-05-04T12:04:58Z" Recipient`, ` NotBefore="2026-05-04T11:00:00Z" NotOnOrAfter="2026-05-04T12:04:58Z" Recipient`, CheckSubjectConfirmation},
	"a confirmation of another's":     {`Data InResponseTo="_request1"`, `Data InResponseTo="_request2"`, CheckInResponseTo},
	"a confirmation of no request":    {`Data InResponseTo="_request1"`, `Data`, CheckInResponseTo},
	"no Conditions":                   {between(plainAssertion, "<saml:Conditions", "</saml:Conditions>"), "", CheckConditions},
	"two Conditions":                  {"</saml:Conditions>", `</saml:Conditions><saml:Conditions NotOnOrAfter="2026-05-04T12:04:58Z"/>`, CheckShape},
	"conditions without an end":       {` NotOnOrAfter="2026-05-04T12:04:58Z"><saml:Aud`, `><saml:Aud`, CheckClock},
	"conditions that have ended":      {` NotOnOrAfter="2026-05-04T12:04:58Z"><saml:Aud`, ` NotOnOrAfter="2026-05-04T11:59:00Z"><saml:Aud`, CheckClock},
	"conditions that begin later":     {`NotBefore="2026-05-04T11:59:28Z"`, `NotBefore="2026-05-04T12:01:01Z"`, CheckClock},
	"a time without a zone":           {`NotBefore="2026-05-04T11:59:28Z"`, `NotBefore="2026-05-04T11:59:28"`, CheckClock},
	"a time that is none":             {`NotBefore="2026-05-04T11:59:28Z"`, `NotBefore="yesterday"`, CheckClock},
	"an unknown condition":            {"<saml:AudienceRestriction>", "<saml:Condition/><saml:AudienceRestriction>", CheckConditions},
	"no AudienceRestriction":          {between(plainAssertion, "<saml:AudienceRestriction>", "</saml:AudienceRestriction>"), "", CheckAudience},
	"an empty AudienceRestriction":    {between(plainAssertion, "<saml:Audience>", "</saml:Audience>"), "", CheckAudience},
	"another's audience":              {testAudience, "https://sp2.example/", CheckAudience},
	"an audience in another case":     {testAudience, strings.ToUpper(testAudience), CheckAudience},
	"a second restriction to another": {"</saml:AudienceRestriction>", "</saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>https://sp2.example/</saml:Audience></saml:AudienceRestriction>", CheckAudience},
	"another issuer":                  {testIssuer, "https://idp2.example/metadata", CheckIssuer},
	"no issuer":                       {"<saml:Issuer>" + testIssuer + "</saml:Issuer>", "", CheckIssuer},
	"an issuer of another kind":       {"<saml:Issuer>", `<saml:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">`, CheckIssuer},
	"issued in ten years":             {`IssueInstant="2026-05-04T11:59:58Z"`, `IssueInstant="2036-05-04T11:59:58Z"`, CheckClock},
	"issued in a minute and a bit":    {`IssueInstant="2026-05-04T11:59:58Z"`, `IssueInstant="2026-05-04T12:01:01Z"`, CheckClock},
	"issued long ago":                 {`IssueInstant="2026-05-04T11:59:58Z"`, `IssueInstant="2026-05-04T11:54:00Z"`, CheckClock},
	"issued at no time":               {` IssueInstant="2026-05-04T11:59:58Z"`, ``, CheckClock},
	"no AuthnStatement":               {between(plainAssertion, "<saml:AuthnStatement", "</saml:AuthnStatement>"), "", CheckAuthnStatement},
	"two AuthnStatements":             {"</saml:AuthnStatement>", "</saml:AuthnStatement>" + between(plainAssertion, "<saml:AuthnStatement", "</saml:AuthnStatement>"), CheckAuthnStatement},
	"signed in tomorrow":              {`AuthnInstant="2026-05-04T11:50:00Z"`, `AuthnInstant="2026-05-05T11:50:00Z"`, CheckAuthnStatement},
	"signed in at no time":            {` AuthnInstant="2026-05-04T11:50:00Z"`, ``, CheckAuthnStatement},
	"a session that has ended":        {`SessionNotOnOrAfter="2026-05-04T20:00:00Z"`, `SessionNotOnOrAfter="2026-05-04T11:00:00Z"`, CheckClock},
	"no AuthnContext":                 {between(plainAssertion, "<saml:AuthnContext>", "</saml:AuthnContext>"), "", CheckAuthnStatement},
	"an attribute without a Name":     {`Name="mail" `, "", CheckAttribute},
	"an attribute with DEL":           {"alice@acme.example", "alice&#127;@acme.example", CheckAttribute},
	"a very long attribute":           {"alice@acme.example", strings.Repeat("a", 9000), CheckAttribute},
	"a decision about something else": {"<saml:AttributeStatement>", "<saml:AuthzDecisionStatement/><saml:AttributeStatement>", CheckShape},
	"version 1.1":                     {`Version="2.0"`, `Version="1.1"`, CheckShape},
	"an encrypted NameID":             {between(plainAssertion, "<saml:NameID", "</saml:NameID>"), "<saml:EncryptedID/>", CheckNameID},
}

// between is the part of a document from a beginning to an end, both with it.
func between(document, begin, end string) string {
	from := strings.Index(document, begin)
	to := strings.Index(document[from:], end)
	return document[from : from+to+len(end)]
}

func TestAnAuthenticSignatureUnderALieIsRefused(t *testing.T) {
	t.Parallel()
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(plainAssertion, lie.old) {
				t.Fatalf("there is no %s", lie.old)
			}
			assertion := strings.Replace(plainAssertion, lie.old, lie.new, 1)
			by := lie.by
			for way, sign := range signedWays {
				if way != "response" && name == "no issuer" {
					continue // the helper signs after the Issuer
				}
				if lie.by == CheckShape && way != "response" {
					by = CheckShape
				}
				mustRefuse(t, sign(t, assertion), testExpect(), by)
			}
		})
	}
}

func TestAResponseIsHeldToWhatItSaysOfItself(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]statement{
		"another Destination":         {`Destination="` + testACS + `"`, `Destination="https://sp2.example/acs"`, CheckDestination},
		"another issuer":              {`<saml:Issuer>` + testIssuer, `<saml:Issuer>https://idp2.example/`, CheckIssuer},
		"another's answer":            {`InResponseTo="_request1" IssueInstant`, `InResponseTo="_request2" IssueInstant`, CheckInResponseTo},
		"nobody's answer":             {`InResponseTo="_request1" IssueInstant`, `IssueInstant`, CheckInResponseTo},
		"an answer to nothing":        {`InResponseTo="_request1" IssueInstant`, `InResponseTo="" IssueInstant`, CheckInResponseTo},
		"issued in ten years":         {`IssueInstant="2026-05-04T11:59:59Z"`, `IssueInstant="2036-05-04T11:59:59Z"`, CheckClock},
		"issued long ago":             {`IssueInstant="2026-05-04T11:59:59Z"`, `IssueInstant="2026-05-04T11:53:59Z"`, CheckClock},
		"a failure":                   {"status:Success", "status:Responder", CheckStatus},
		"a status that is none":       {`<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>`, "", CheckShape},
		"version 1.1":                 {`Version="2.0"`, `Version="1.1"`, CheckShape},
		"no ID":                       {`ID="_response1" `, ``, CheckShape},
		"a second assertion":          {"</samlp:Response>", strings.ReplaceAll(plainAssertion, "_assertion1", "_assertion2") + "</samlp:Response>", CheckShape},
		"an assertion before another": {"</samlp:Status>", "</samlp:Status>" + strings.ReplaceAll(plainAssertion, "_assertion1", "_assertion2"), CheckShape},
		"an assertion in Extensions":  {"<samlp:Status>", "<samlp:Extensions>" + strings.ReplaceAll(plainAssertion, "_assertion1", "_assertion2") + "</samlp:Extensions><samlp:Status>", CheckShape},
		"a name of another namespace": {"<samlp:Status>", `<samlp:Extensions><x:Assertion xmlns:x="urn:x"/></samlp:Extensions><samlp:Status>`, CheckShape},
		"text between":                {"</samlp:Status>", "</samlp:Status>words", CheckShape},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unsigned := strings.Replace(signedAssertion(t, plainAssertion), lie.old, lie.new, 1)
			mustRefuse(t, unsigned, testExpect(), lie.by)
			if strings.Contains(unsigned, `ID="_response1"`) {
				mustRefuse(t, signID(t, unsigned, "_response1", signing{}), testExpect(), lie.by)
			}
		})
	}
}

func TestASignedResponseSaysWhereItGoesAndWhoseItIs(t *testing.T) {
	t.Parallel()
	without := strings.Replace(signedAssertion(t, plainAssertion), `Destination="`+testACS+`" `, "", 1)
	mustVerify(t, without, testExpect())
	mustRefuse(t, signID(t, without, "_response1", signing{}), testExpect(), CheckDestination)
	anonymous := strings.Replace(inResponse(plainAssertion), "<saml:Issuer>"+testIssuer+"</saml:Issuer><samlp", "<samlp", 1)
	anonymous = strings.Replace(anonymous, "<samlp:Status>", signing{}.over(t, anonymous, "_response1")+"<samlp:Status>", 1)
	mustRefuse(t, anonymous, testExpect(), CheckIssuer)
}

func TestARefusalOfTheProvidersNamesItsStatus(t *testing.T) {
	t.Parallel()
	failure := strings.Replace(strings.Replace(plainResponse, "ASSERTION", "", 1),
		`<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>`,
		`<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:NoPassive"/></samlp:StatusCode><samlp:StatusMessage>no</samlp:StatusMessage>`, 1)
	for _, document := range []string{failure, signID(t, failure, "_response1", signing{})} {
		_, _, err := Verify([]byte(document), testExpect())
		var refused *Refused
		if !errors.As(err, &refused) || len(refused.Status) != 2 || refused.Status[1] != "urn:oasis:names:tc:SAML:2.0:status:NoPassive" || !strings.HasSuffix(refused.Got, "NoPassive: no") {
			t.Errorf("%v %+v", err, refused)
		}
	}
}

func TestAnAnswerToNobodyNeedsLeave(t *testing.T) {
	t.Parallel()
	expect := testExpect()
	expect.InResponseTo = ""
	solicited := signedAssertion(t, plainAssertion)
	unsolicited := strings.Replace(signedAssertion(t, strings.Replace(plainAssertion, ` InResponseTo="_request1"`, "", 1)), ` InResponseTo="_request1"`, "", 1)
	mustRefuse(t, unsolicited, expect, CheckInResponseTo)
	mustRefuse(t, unsolicited, testExpect(), CheckInResponseTo)
	expect.Unsolicited = true
	if got := mustVerify(t, unsolicited, expect); got.InResponseTo != "" {
		t.Errorf("an answer to %q", got.InResponseTo)
	}
	// One that was an answer to somebody cannot be passed off as an answer to nobody,
	// nor by what is not signed.
	mustRefuse(t, solicited, expect, CheckInResponseTo)
	mustRefuse(t, strings.Replace(solicited, `ID="_response1" InResponseTo="_request1"`, `ID="_response1"`, 1), expect, CheckInResponseTo)
}

func TestAllThatIsWrongIsListedAtOnce(t *testing.T) {
	t.Parallel()
	assertion := strings.NewReplacer(testAudience, "https://wrong.example/", `Recipient="`+testACS, `Recipient="https://wrong.example/acs`, "12:04:58Z", "11:00:00Z").Replace(plainAssertion)
	_, list, err := Verify([]byte(signedAssertion(t, assertion)), testExpect())
	if err == nil {
		t.Fatal("accepted")
	}
	names := map[string]string{}
	for _, check := range failed(list) {
		names[check.Name] = check.Expected + " / " + check.Got
	}
	for name, words := range map[string]string{
		CheckAudience: testAudience + " / https://wrong.example/", CheckRecipient: testACS + " / https://wrong.example/acs",
		CheckClock: "Conditions NotOnOrAfter after 2026-05-04T11:59:00Z / 2026-05-04T11:00:00Z",
	} {
		if names[name] != words {
			t.Errorf("%s: %q", name, names[name])
		}
	}
}

func TestClocksMayDifferByAMinute(t *testing.T) {
	t.Parallel()
	document := signedBoth(t, plainAssertion)
	for at, ok := range map[time.Duration]bool{-63 * time.Second: false, -61 * time.Second: true, 0: true, 4*time.Minute + 58*time.Second + 59*time.Second: true, 5*time.Minute + 58*time.Second: false} {
		expect := testExpect()
		expect.Now = testNow.Add(at)
		if _, _, err := Verify([]byte(document), expect); (err == nil) != ok {
			t.Errorf("at %v: %v", at, err)
		}
	}
}

func TestAnyBearerConfirmationThatHoldsWhollyIsEnough(t *testing.T) {
	t.Parallel()
	confirmation := between(plainAssertion, "<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>")
	other := strings.Replace(confirmation, testACS, "https://sp2.example/acs", 1)
	key := strings.Replace(confirmation, "cm:bearer", "cm:holder-of-key", 1)
	mustVerify(t, signedAssertion(t, strings.Replace(plainAssertion, confirmation, other+key+confirmation, 1)), testExpect())
	// Half of one and half of another is none.
	late := strings.Replace(confirmation, "12:04:58Z", "11:00:00Z", 1)
	mustRefuse(t, signedAssertion(t, strings.Replace(plainAssertion, confirmation, other+late, 1)), testExpect(), CheckRecipient)
}

func TestAnotherAudienceBesidesUsIsNoMatter(t *testing.T) {
	t.Parallel()
	for _, audiences := range []string{"<saml:Audience>urn:x</saml:Audience><saml:Audience>" + testAudience, testAudience + "</saml:Audience><saml:Audience>urn:x"} {
		mustVerify(t, signedAssertion(t, strings.Replace(plainAssertion, testAudience, strings.TrimPrefix(audiences, "<saml:Audience>"), 1)), testExpect())
	}
}

func TestTheOutsideCanBeLookedAtAndProvesNothing(t *testing.T) {
	t.Parallel()
	got, err := Look([]byte(inResponse(plainAssertion)))
	want := Claimed{ID: "_response1", InResponseTo: testRequest, Issuer: testIssuer, Destination: testACS}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, document := range []string{"", "<a/>", "<!DOCTYPE x>" + inResponse(""), strings.Repeat("<a>", MaxMessage), strings.Replace(inResponse(""), "_request1", strings.Repeat("x", 2000), 1)} {
		if got, err := Look([]byte(document)); err == nil || got != (Claimed{}) {
			t.Errorf("accepted %.40q: %+v", document, got)
		}
	}
}

func TestARefusalRepeatsNothingOfTheMessage(t *testing.T) {
	t.Parallel()
	_, _, err := Verify([]byte(signedAssertion(t, strings.Replace(plainAssertion, testAudience, "https://canary.example/", 1))), testExpect())
	if err == nil || err.Error() != `saml: refused by the check "audience"` {
		t.Error(err)
	}
}

func TestAKeyOfOursSignsAndDecrypts(t *testing.T) {
	t.Parallel()
	key, err := NewKey()
	if err != nil || key.N.BitLen() != KeyBits {
		t.Fatal(err)
	}
	certificate, err := NewCertificate(key, "id.example", testNow, testNow.AddDate(10, 0, 0))
	if err != nil || certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) != nil {
		t.Fatal(err)
	}
	expect := testExpect()
	expect.DecryptionKeys = []*rsa.PrivateKey{key}
	mustVerify(t, inResponse(encryption{to: &key.PublicKey}.wrap(t, signedAlone(t))), expect)
}
