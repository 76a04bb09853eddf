package store

import (
	"encoding/json"
	"fmt"
)

// UnsealedAudit is an audit record as the transaction of its change wrote it.
// The sealer moves it into the chain within a second. Body is never decoded
// here: the chain is over its bytes.
type UnsealedAudit struct {
	ID       string          `json:"id"` // time-ordered, unique
	Body     json.RawMessage `json:"b"`
	MAC      []byte          `json:"m"` // over ID and Body, with the site's key
	Personal []PersonalValue `json:"p,omitempty"`
}

// PersonalValue is something about a person that an audit record commits to. To
// erase it is to replace Salt and Value by Erased.
type PersonalValue struct {
	Field  string `json:"f"`
	Salt   []byte `json:"s,omitempty"`
	Value  string `json:"v,omitempty"`
	Erased []byte `json:"e,omitempty"` // MAC of the erasure, so that it was ours
}

// AuditEntry is a record in its place in the site's chain.
type AuditEntry struct {
	Sequence uint64          `json:"seq"` // from 1, without gaps
	ID       string          `json:"id"`
	Body     json.RawMessage `json:"b"`
	Forged   bool            `json:"forged,omitempty"` // its MAC was wrong when it was sealed
	Link     []byte          `json:"l"`                // SHA-256 over the link before and this entry
	Stamp    []byte          `json:"s"`                // MAC over Sequence and Link
}

// AuditPersonal holds the personal values of one entry, beside it.
type AuditPersonal struct {
	Sequence uint64          `json:"seq"`
	Values   []PersonalValue `json:"v"`
}

// AuditHead is the end of the chain, and its beginning once old entries have been
// removed by retention.
type AuditHead struct {
	Sequence  uint64 `json:"seq"`
	Link      []byte `json:"l,omitempty"`
	Removed   uint64 `json:"removed,omitempty"`      // the last entry that retention removed
	LinkAfter []byte `json:"removed_link,omitempty"` // its link
	Stamp     []byte `json:"s"`
}

// AuditKey puts entries in the order of their sequence.
func AuditKey(sequence uint64) string { return fmt.Sprintf("%016x", sequence) }

// AuditHeadKey is the key of the site's one AuditHead.
const AuditHeadKey = "head"

// UnsealedAudits are the records that no chain holds yet.
var UnsealedAudits = Table[UnsealedAudit]{Kind: "audit-unsealed", Key: func(r *UnsealedAudit) string { return r.ID }}

// AuditEntries is the chain.
var AuditEntries = Table[AuditEntry]{Kind: "audit", Key: func(r *AuditEntry) string { return AuditKey(r.Sequence) }}

// AuditPersonals stands beside the chain.
var AuditPersonals = Table[AuditPersonal]{Kind: "audit-personal", Key: func(r *AuditPersonal) string { return AuditKey(r.Sequence) }}

// AuditHeads holds the site's one head.
var AuditHeads = Table[AuditHead]{Kind: "audit-head", Key: func(*AuditHead) string { return AuditHeadKey }}
