package profile

// Names in wide use, for fields that a connection does not map. Roles and
// departments have none in SAML: what grants something is named.

var claimNames = map[string][]string{
	"email": {"email"}, "email_verified": {"email_verified"}, "name": {"name"}, "given_name": {"given_name"}, "family_name": {"family_name"},
	"picture": {"picture"}, "locale": {"locale"}, "zoneinfo": {"zoneinfo"}, "phone_number": {"phone_number"}, "external_id": {"external_id", "sub"},
	"roles": {"roles"}, "departments": {"departments"},
}

// tokenNames are those of customers' own login pages, in the dialects that they
// were written for.
var tokenNames = map[string][]string{
	"picture": {"picture", "remote_photo_url"}, "phone_number": {"phone_number", "phone"},
	"given_name": {"given_name", "first_name", "firstName"}, "family_name": {"family_name", "last_name", "lastName"}, "name": {"name", "display_name", "displayName"},
}

const (
	claimURI = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	oid      = "urn:oid:"
)

var attributeNames = map[string][]string{
	"email":        {"mail", "email", "emailAddress", oid + "0.9.2342.19200300.100.1.3", claimURI + "emailaddress"},
	"name":         {"displayName", "name", oid + "2.16.840.1.113730.3.1.241", "http://schemas.microsoft.com/identity/claims/displayname"},
	"given_name":   {"givenName", "firstName", oid + "2.5.4.42", claimURI + "givenname"},
	"family_name":  {"sn", "lastName", oid + "2.5.4.4", claimURI + "surname"},
	"locale":       {"preferredLanguage", oid + "2.16.840.1.113730.3.1.39"},
	"phone_number": {"telephoneNumber", "phone", oid + "2.5.4.20"},
	"external_id":  {"eduPersonUniqueId", "eduPersonPrincipalName", "uid", "http://schemas.microsoft.com/identity/claims/objectidentifier"},
}

func defaults(kind Kind, field string) []string {
	switch kind {
	case SAML:
		return attributeNames[field]
	case JWT:
		if names := tokenNames[field]; names != nil {
			return names
		}
	}
	return claimNames[field]
}
