package saml

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"math/big"
)

// XML Signature writes an ECDSA signature as r and s side by side (XMLDSig 1.1,
// 6.4.3); Go, and with it goxmldsig, as ASN.1.

type pair struct{ R, S *big.Int }

func toDER(raw []byte, key *ecdsa.PublicKey) ([]byte, error) {
	half := (key.Curve.Params().BitSize + 7) / 8
	if len(raw) != 2*half {
		return nil, errors.New("an ECDSA signature of another length")
	}
	return asn1.Marshal(pair{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
}

func fromDER(der []byte, key *ecdsa.PublicKey) ([]byte, error) {
	var p pair
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return nil, errors.New("not an ECDSA signature")
	}
	half := (key.Curve.Params().BitSize + 7) / 8
	raw := make([]byte, 2*half)
	p.R.FillBytes(raw[:half])
	p.S.FillBytes(raw[half:])
	return raw, nil
}
