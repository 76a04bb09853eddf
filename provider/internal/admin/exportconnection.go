package admin

import (
	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/store"
)

// fileConnectionOf is a connection as the file has it, without its secrets: what it
// leaves out stays as it is when the file comes back.
func fileConnectionOf(c *store.Connection) fileConnection {
	f := fileConnection{
		ID: c.ID, Kind: &c.Kind, For: &c.For, Name: &c.Name, Disabled: orNilBool(c.Disabled), Domains: c.Domains,
		Default: orNilBool(c.Default), Create: orNilBool(c.Create), Enforce: orNilBool(c.Enforce), IdPInitiated: orNilBool(c.IdPInitiated),
		TrustSecondFactor: orNilBool(c.TrustSecondFactor), SkewSeconds: orNilInt(c.SkewSeconds),
		RoleMap: fileMappedOf(c.RoleMap), DepartmentMap: fileMappedOf(c.DepartmentMap),
	}
	for _, a := range c.Attributes {
		f.Attributes = append(f.Attributes, fileAttribute{From: a.From, Constant: orNil(a.Constant), Type: orNil(a.Type), field: a.Field})
	}
	switch {
	case c.SAML != nil:
		f.fillSAML(c.SAML)
	case c.JWT != nil:
		f.fillJWT(c.JWT)
	case c.OIDC != nil:
		o := c.OIDC
		f.Issuer, f.ClientID, f.AuthMethod, f.Scopes, f.Prompt = &o.Issuer, &o.ClientID, orNil(o.AuthMethod), o.Scopes, orNil(o.Prompt)
		f.ACRValues, f.AssumeVerified, f.AssumeFresh = o.ACRValues, orNilBool(o.AssumeVerified), orNilBool(o.AssumeFresh)
	}
	return f
}

func fileMappedOf(list []store.Mapped) (out mappedList) {
	for _, m := range list {
		out = append(out, fileMapped{value: m.Value, to: m.To})
	}
	return out
}

func (f *fileConnection) fillSAML(c *store.SAMLConnection) {
	f.MetadataURL, f.MetadataCertificates = orNil(c.MetadataURL), c.MetadataCertificates
	if c.MetadataXML != "" {
		text := longText(c.MetadataXML)
		f.MetadataXML = &text
	}
	f.EntityID, f.SSOURL, f.SSOBinding, f.SLOURL, f.Certificates = orNil(c.EntityID), orNil(c.SSOURL), orNil(c.SSOBinding), orNil(c.SLOURL), c.Certificates
	f.SignRequests, f.RequireEncryption, f.ForceAuthn = orNilBool(c.SignRequests), orNilBool(c.RequireEncryption), orNilBool(c.ForceAuthn)
	f.NameIDFormat, f.AuthnContexts, f.Subject = orNil(c.NameIDFormat), c.AuthnContexts, orNil(c.Subject)
}

func (f *fileConnection) fillJWT(c *store.JWTConnection) {
	f.LoginURL, f.LogoutURL, f.Issuer, f.Dialect = orNil(c.LoginURL), orNil(c.LogoutURL), orNil(c.Issuer), orNil(c.Dialect)
	f.AllowGet, f.JWKSURL, f.Required, f.UserHash = orNilBool(c.AllowGet), orNil(c.JWKSURL), orNilBool(c.Required), orNilBool(c.UserHash)
	for _, k := range c.Keys {
		f.Keys = append(f.Keys, fileKey{KID: k.KID, Alg: orNil(k.Alg), Use: orNil(k.Use), PublicKey: orNil(k.PublicKey)})
	}
}

func orNilInt(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func fileBanOf(b *store.Ban) fileBan {
	f := fileBan{Visitor: b.VisitorID, ExternalID: b.ExternalID, Email: b.Email, EmailDomain: b.EmailDomain, CIDR: b.Network, Reason: b.Reason}
	if !b.Until.IsZero() {
		f.Until = &instant{b.Until}
	}
	return f
}

func fileVisitorsOf(v *store.VisitorRules) *fileVisitors {
	if sameJSON(v, store.VisitorRules{}) {
		return nil
	}
	return &fileVisitors{Anonymous: &v.Anonymous, SignIn: orNil(v.SignIn), Origins: v.Origins, TokenMinutes: orNilInt(v.TokenMinutes)}
}

// fillConnections adds the connections, and the bans that stand in the file.
func (f *fileSite) fillConnections(tx store.Tx) error {
	connections, err := all(tx, &store.Connections)
	if err != nil {
		return err
	}
	for _, id := range sortedKeys(connections) {
		c := connections[id]
		f.Connections = append(f.Connections, fileConnectionOf(&c))
	}
	var bans []store.Ban
	for b, err := range store.Bans.All(tx, "") {
		if err != nil {
			return err
		}
		if b.InFile {
			bans = append(bans, b)
		}
	}
	arrange.By(bans, func(a, b store.Ban) int { return a.Created.Compare(b.Created) })
	for i := range bans {
		f.VisitorBans = append(f.VisitorBans, fileBanOf(&bans[i]))
	}
	return nil
}
