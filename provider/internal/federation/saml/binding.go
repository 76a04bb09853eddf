package saml

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/beevik/etree"
)

// MaxRelayState is the most bytes of a RelayState (SAML bindings, 3.4.3).
const MaxRelayState = 80

// Form is what a page posts to Action by itself: each field with its value.
type Form struct {
	Action string
	Fields [][2]string
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func (m Message) field() string {
	if m.answer {
		return "SAMLResponse"
	}
	return "SAMLRequest"
}

// XML is the message as it is, unsigned.
func (m Message) XML() ([]byte, error) { return serialize(m.root) }

func serialize(root *etree.Element) ([]byte, error) {
	return etree.NewDocumentWithRoot(root.Copy()).WriteToBytes()
}

// Redirect is the address to send the browser to (SAML bindings, 3.4): the message deflated in the
// query, and the query signed, unless there is no signer.
func (m Message) Redirect(relayState string, signer *Signer) (string, error) {
	if len(relayState) > MaxRelayState {
		return "", fmt.Errorf("redirect: RelayState over %d bytes", MaxRelayState)
	}
	data, err := serialize(m.root)
	if err != nil {
		return "", fmt.Errorf("redirect: %w", err)
	}
	packed, err := deflate(data)
	if err != nil {
		return "", fmt.Errorf("redirect: %w", err)
	}
	query := m.field() + "=" + url.QueryEscape(encode(packed))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	if signer != nil {
		if query, err = signer.query(query); err != nil {
			return "", fmt.Errorf("redirect: %w", err)
		}
	}
	separator := "?"
	if strings.Contains(m.Destination, "?") {
		separator = "&"
	}
	return m.Destination + separator + query, nil
}

// query signs the query as it stands.
func (s *Signer) query(query string) (string, error) {
	method, hash, err := s.method()
	if err != nil {
		return "", err
	}
	query += "&SigAlg=" + url.QueryEscape(method)
	h := hash.New()
	h.Write([]byte(query))
	signature, err := s.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		return "", err
	}
	if key, ok := s.Key.Public().(*ecdsa.PublicKey); ok {
		if signature, err = fromDER(signature, key); err != nil {
			return "", err
		}
	}
	return query + "&Signature=" + url.QueryEscape(encode(signature)), nil
}

// Post is the form to post (SAML bindings, 3.5): the message with its signature
// inside, unless there is no signer.
func (m Message) Post(relayState string, signer *Signer) (Form, error) {
	if len(relayState) > MaxRelayState {
		return Form{}, fmt.Errorf("post: RelayState over %d bytes", MaxRelayState)
	}
	root := m.root
	if signer != nil {
		var err error
		if root, err = signer.envelop(root); err != nil {
			return Form{}, fmt.Errorf("post: %w", err)
		}
	}
	data, err := serialize(root)
	if err != nil {
		return Form{}, fmt.Errorf("post: %w", err)
	}
	form := Form{Action: m.Destination, Fields: [][2]string{{m.field(), encode(data)}}}
	if relayState != "" {
		form.Fields = append(form.Fields, [2]string{"RelayState", relayState})
	}
	return form, nil
}

func deflate(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
