package admin

// fileConnection has the fields of every kind side by side. The tag kind names the
// kinds that a field is for, and whom its population; without them it is for all.
type fileConnection struct {
	At                line          `yaml:"-"`
	ID                string        `yaml:"id"`
	Kind              *string       `yaml:"kind,omitempty"`
	For               *string       `yaml:"for,omitempty"`
	Name              *string       `yaml:"name,omitempty"`
	Disabled          *bool         `yaml:"disabled,omitempty"`
	Domains           []string      `yaml:"domains,omitempty,flow" whom:"agents"`
	Default           *bool         `yaml:"default,omitempty" whom:"agents"`
	Create            *bool         `yaml:"create,omitempty" whom:"agents"`
	Enforce           *bool         `yaml:"enforce,omitempty" whom:"agents"`
	IdPInitiated      *bool         `yaml:"idp_initiated,omitempty" kind:"saml jwt" whom:"agents"`
	TrustSecondFactor *bool         `yaml:"trust_second_factor,omitempty" kind:"saml oidc" whom:"agents"`
	SkewSeconds       *int          `yaml:"skew_seconds,omitempty"`
	Attributes        attributeList `yaml:"attributes,omitempty"`
	RoleMap           mappedList    `yaml:"role_map,omitempty" whom:"agents"`
	DepartmentMap     mappedList    `yaml:"department_map,omitempty" whom:"agents"`

	MetadataURL          *string   `yaml:"metadata_url,omitempty" kind:"saml"`
	MetadataXML          *longText `yaml:"metadata_xml,omitempty" kind:"saml"`
	MetadataCertificates []string  `yaml:"metadata_certificates,omitempty" kind:"saml"`
	EntityID             *string   `yaml:"entity_id,omitempty" kind:"saml"`
	SSOURL               *string   `yaml:"sso_url,omitempty" kind:"saml"`
	SSOBinding           *string   `yaml:"sso_binding,omitempty" kind:"saml"`
	SLOURL               *string   `yaml:"slo_url,omitempty" kind:"saml"`
	Certificates         []string  `yaml:"certificates,omitempty" kind:"saml"`
	SignRequests         *bool     `yaml:"sign_requests,omitempty" kind:"saml"`
	RequireEncryption    *bool     `yaml:"require_encryption,omitempty" kind:"saml"`
	ForceAuthn           *bool     `yaml:"force_authn,omitempty" kind:"saml"`
	NameIDFormat         *string   `yaml:"name_id_format,omitempty" kind:"saml"`
	AuthnContexts        []string  `yaml:"authn_contexts,omitempty" kind:"saml"`
	Subject              *string   `yaml:"subject,omitempty" kind:"saml"`

	LoginURL  *string   `yaml:"login_url,omitempty" kind:"jwt"`
	LogoutURL *string   `yaml:"logout_url,omitempty" kind:"jwt"`
	Dialect   *string   `yaml:"dialect,omitempty" kind:"jwt"`
	AllowGet  *bool     `yaml:"allow_get,omitempty" kind:"jwt"`
	Keys      []fileKey `yaml:"keys,omitempty" kind:"jwt"`
	JWKSURL   *string   `yaml:"jwks_url,omitempty" kind:"jwt"`
	Required  *bool     `yaml:"required,omitempty" kind:"jwt" whom:"visitors"`
	UserHash  *bool     `yaml:"user_hash,omitempty" kind:"jwt" whom:"visitors"`

	Issuer         *string  `yaml:"issuer,omitempty" kind:"jwt oidc"`
	ClientID       *string  `yaml:"client_id,omitempty" kind:"oidc"`
	ClientSecret   secret   `yaml:"client_secret,omitempty" kind:"oidc"`
	AuthMethod     *string  `yaml:"token_endpoint_auth_method,omitempty" kind:"oidc"`
	Scopes         []string `yaml:"scopes,omitempty,flow" kind:"oidc"`
	Prompt         *string  `yaml:"prompt,omitempty" kind:"oidc"`
	ACRValues      []string `yaml:"acr_values,omitempty,flow" kind:"oidc"`
	AssumeVerified *bool    `yaml:"assume_verified,omitempty" kind:"oidc" whom:"agents"`
	AssumeFresh    *bool    `yaml:"assume_fresh,omitempty" kind:"oidc" whom:"agents"`
}

// fileKey verifies JWTs. One without secret and public_key is the one of that kid
// that the store has.
type fileKey struct {
	At        line    `yaml:"-"`
	KID       string  `yaml:"kid,omitempty"`
	Alg       *string `yaml:"alg,omitempty"`
	Use       *string `yaml:"use,omitempty"`
	Secret    secret  `yaml:"secret,omitempty"`
	PublicKey *string `yaml:"public_key,omitempty"`
}

// fileAttribute stands in the file as a value: a name, a list of names, or this.
type fileAttribute struct {
	At       line     `yaml:"-"`
	From     []string `yaml:"from,omitempty,flow"`
	Constant *string  `yaml:"constant,omitempty"`
	Type     *string  `yaml:"type,omitempty"`

	field string
}

// attributeList is a mapping in the file, by our fields.
type attributeList []fileAttribute

// fileMapped is one value of a map, and the keys that it stands for.
type fileMapped struct {
	at    line
	value string
	to    []string
}

// mappedList is a mapping in the file, by the provider's values.
type mappedList []fileMapped

// longText is a document, such as metadata.
type longText string

type fileVisitors struct {
	At           line     `yaml:"-"`
	Anonymous    *bool    `yaml:"anonymous,omitempty"`
	SignIn       *string  `yaml:"sign_in,omitempty"`
	Origins      []string `yaml:"origins,omitempty,flow"`
	TokenMinutes *int     `yaml:"token_minutes,omitempty"`
}

// fileBan keeps visitors away whom every criterion fits that is given.
type fileBan struct {
	At          line     `yaml:"-"`
	Visitor     string   `yaml:"visitor,omitempty"`
	ExternalID  string   `yaml:"external_id,omitempty"`
	Email       string   `yaml:"email,omitempty"`
	EmailDomain string   `yaml:"email_domain,omitempty"`
	IP          string   `yaml:"ip,omitempty"`
	CIDR        string   `yaml:"cidr,omitempty"`
	Reason      string   `yaml:"reason"`
	Until       *instant `yaml:"until,omitempty"`
}
