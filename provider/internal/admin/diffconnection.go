package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/store"
)

// connectionChanges are those of connections, by the names that the file has.
// Documents and keys are named by their hashes; a secret is only said to have
// changed.
func connectionChanges(edits []edit[store.Connection]) []Change {
	var out []Change
	for _, e := range edits {
		switch {
		case e.before == nil:
			out = append(out, Change{"+", "connection", e.after.ID, connectionFields(nil, e.after)})
		case e.after == nil:
			out = append(out, Change{"-", "connection", e.before.ID, nil})
		default:
			if fields := connectionFields(e.before, e.after); len(fields) > 0 {
				out = append(out, Change{"~", "connection", e.after.ID, fields})
			}
		}
	}
	return out
}

func connectionFields(before, after *store.Connection) []Field {
	var old any
	if before != nil {
		old = shownConnection(before)
	}
	fields := changedFields(old, shownConnection(after))
	for i := range fields {
		for _, kind := range []string{"saml.", "jwt.", "oidc."} {
			fields[i].Name = strings.TrimPrefix(fields[i].Name, kind)
		}
	}
	fields = slices.DeleteFunc(fields, func(f Field) bool { return f.Name == "changed" })
	fields = append(fields, changedSecrets(before, after)...)
	arrange.By(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// shownConnection is a copy that people may read.
func shownConnection(c *store.Connection) *store.Connection {
	shown := *c
	shown.Changed, shown.Rehearsed, shown.RehearsedBy, shown.Rebound, shown.Resumed = time.Time{}, time.Time{}, "", time.Time{}, time.Time{}
	shown.Attributes, shown.RoleMap, shown.DepartmentMap = slices.Clone(c.Attributes), slices.Clone(c.RoleMap), slices.Clone(c.DepartmentMap)
	if c.SAML != nil {
		shown.SAML = copyOf(c.SAML)
		shown.SAML.MetadataXML = digest(c.SAML.MetadataXML)
		shown.SAML.Certificates, shown.SAML.MetadataCertificates = shownCertificates(c.SAML.Certificates), shownCertificates(c.SAML.MetadataCertificates)
	}
	if c.JWT != nil {
		shown.JWT = copyOf(c.JWT)
		shown.JWT.Keys = slices.Clone(c.JWT.Keys)
		for i := range shown.JWT.Keys {
			k := &shown.JWT.Keys[i]
			k.Secret, k.PublicKey = nil, digest(k.PublicKey)
		}
	}
	if c.OIDC != nil {
		shown.OIDC = copyOf(c.OIDC)
		shown.OIDC.ClientSecret = nil
	}
	return &shown
}

func digest(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%d bytes, SHA-256 %s…", len(text), hex.EncodeToString(sum[:8]))
}

func shownCertificates(texts []string) (list []string) {
	for _, text := range texts {
		c, err := saml.ParseCertificate(text)
		if err != nil {
			list = append(list, digest(text))
			continue
		}
		list = append(list, fmt.Sprintf("%s… until %s", saml.Fingerprint(c)[:16], c.NotAfter.Format(time.DateOnly)))
	}
	return list
}

// changedSecrets names the secrets that are given, changed or taken away.
func changedSecrets(before, after *store.Connection) (fields []Field) {
	had, has := secretsByName(before), secretsByName(after)
	for _, name := range sortedKeys(has) {
		if !bytes.Equal(had[name], has[name]) {
			fields = append(fields, secretField(name, had[name] != nil, true))
		}
	}
	for _, name := range sortedKeys(had) {
		if has[name] == nil {
			fields = append(fields, secretField(name, true, false))
		}
	}
	return fields
}

func secretsByName(c *store.Connection) map[string][]byte {
	all := map[string][]byte{}
	if c == nil {
		return all
	}
	if c.JWT != nil {
		for _, k := range c.JWT.Keys {
			if len(k.Secret) > 0 {
				all[fmt.Sprintf("keys %s secret", orNone(k.KID))] = k.Secret
			}
		}
	}
	if c.OIDC != nil && len(c.OIDC.ClientSecret) > 0 {
		all["client_secret"] = c.OIDC.ClientSecret
	}
	return all
}
