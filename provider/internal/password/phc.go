package password

import (
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // of hashes that others made; replaced at the first sign-in
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// What an imported hash may cost: about a second of one core, and 128 MiB.
const (
	maxHash       = 512       // bytes of the whole text
	maxMemory     = 128 << 10 // KiB
	maxPasses     = 1 << 20   // KiB times passes
	maxThreads    = 16
	maxBcryptCost = 14
	maxIterations = 3_000_000 // of PBKDF2, for each block of its result
	minResult     = 16        // bytes; fewer can be guessed
	maxResult     = 64
	minSalt       = 8
	maxSalt       = 64
)

// verifier is a parsed hash.
type verifier interface {
	matches(pw string) bool
	affordable() error // what ParseHash holds imported hashes to
}

// ParseHash says whether a hash that other software made can be used: argon2id
// or argon2i ("$argon2id$v=19$m=…,t=…,p=…$salt$hash"), bcrypt ("$2b$12$…", also
// 2a and 2y) or PBKDF2 with SHA-1, SHA-256 or SHA-512 ("$pbkdf2-sha256$i=…$…$…"
// or passlib's "$pbkdf2-sha256$29000$…$…"). The error is an ErrHash with the
// reason; it does not repeat the hash.
func ParseHash(hash string) error {
	v, err := parse(hash)
	if err != nil {
		return err
	}
	return v.affordable()
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrHash, fmt.Sprintf(format, args...))
}

func parse(text string) (verifier, error) {
	if len(text) > maxHash {
		return nil, refuse("it is longer than %d bytes", maxHash)
	}
	fields := strings.Split(text, "$")
	if len(fields) < 3 || fields[0] != "" {
		return nil, refuse("it is not of the form $kind$…; a password in clear goes into password")
	}
	switch name := fields[1]; name {
	case "argon2id", "argon2i":
		return parseArgon2(name, fields[2:])
	case "2a", "2b", "2y":
		return parseBcrypt(text, fields[2:])
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePBKDF2(name, fields[2:])
	}
	return nil, refuse("only argon2id, argon2i, bcrypt (2a, 2b, 2y) and PBKDF2 (sha1, sha256, sha512) are known")
}

// sample makes a verifier of a kind, for measuring.
func sample(kind string) (verifier, error) {
	if strings.HasPrefix(kind, "$2") {
		return parse(kind + "$" + strings.Repeat(".", 53))
	}
	result := base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	return parse(kind + "$" + result + "$" + result)
}

type argon2Hash struct {
	independent  bool // argon2i
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func (a argon2Hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, a.memory, a.time, a.threads,
		base64.RawStdEncoding.EncodeToString(a.salt), base64.RawStdEncoding.EncodeToString(a.key))
}

func (a argon2Hash) derive(pw string) []byte {
	if a.independent {
		return argon2.Key([]byte(pw), a.salt, a.time, a.memory, a.threads, uint32(len(a.key)))
	}
	return argon2.IDKey([]byte(pw), a.salt, a.time, a.memory, a.threads, uint32(len(a.key)))
}

func (a argon2Hash) matches(pw string) bool {
	return subtle.ConstantTimeCompare(a.derive(pw), a.key) == 1
}

func (a argon2Hash) affordable() error {
	if a.threads > maxThreads || a.memory > maxMemory || a.time > maxPasses/a.memory {
		return refuse("it is too costly: m=%d,t=%d,p=%d is over m=%d, p=%d or m times t = %d", a.memory, a.time, a.threads, maxMemory, maxThreads, maxPasses)
	}
	return nil
}

func parseArgon2(name string, fields []string) (verifier, error) {
	if len(fields) != 4 || fields[0] != "v=19" {
		return nil, refuse("an argon2 hash is $%s$v=19$m=…,t=…,p=…$salt$hash", name)
	}
	params := strings.Split(fields[1], ",")
	if len(params) != 3 {
		return nil, refuse("argon2 has the parameters m, t and p, in this order")
	}
	var values [3]int
	for i, want := range []string{"m", "t", "p"} {
		text, ok := strings.CutPrefix(params[i], want+"=")
		n, err := number(text)
		if !ok || err != nil {
			return nil, refuse("argon2 has the parameters m, t and p, in this order")
		}
		values[i] = n
	}
	memory, passes, threads := values[0], values[1], values[2]
	if threads > 255 || memory < 8*threads {
		return nil, refuse("argon2 needs a p of at most 255 and an m of at least 8 times p")
	}
	salt, key, err := saltAndResult(fields[2], fields[3])
	if err != nil {
		return nil, err
	}
	return argon2Hash{independent: name == "argon2i", memory: uint32(memory), time: uint32(passes), threads: uint8(threads), salt: salt, key: key}, nil
}

type bcryptHash struct {
	text string
	cost int
}

// matches refuses more than 72 bytes: bcrypt would not look at the rest.
func (b bcryptHash) matches(pw string) bool {
	short := len(pw) <= 72
	if !short {
		pw = pw[:72]
	}
	return bcrypt.CompareHashAndPassword([]byte(b.text), []byte(pw)) == nil && short
}

func (b bcryptHash) affordable() error {
	if b.cost > maxBcryptCost {
		return refuse("it is too costly: bcrypt %d is over %d", b.cost, maxBcryptCost)
	}
	return nil
}

func parseBcrypt(text string, fields []string) (verifier, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(text) != 60 || len(fields) != 2 || len(fields[0]) != 2 || strings.Trim(fields[1], alphabet) != "" {
		return nil, refuse("a bcrypt hash has 60 characters: $2b$cost$ and 53 more")
	}
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || strings.Trim(fields[0], "0123456789") != "" {
		return nil, refuse("the cost of bcrypt is 04 to %02d", maxBcryptCost)
	}
	return bcryptHash{text, cost}, nil
}

type pbkdf2Hash struct {
	digest     func() hash.Hash
	iterations int
	salt, key  []byte
}

func (p pbkdf2Hash) matches(pw string) bool {
	key, err := pbkdf2.Key(p.digest, pw, p.salt, p.iterations, len(p.key))
	return err == nil && subtle.ConstantTimeCompare(key, p.key) == 1
}

func (p pbkdf2Hash) affordable() error {
	blocks := (len(p.key) + p.digest().Size() - 1) / p.digest().Size()
	if p.iterations > maxIterations/blocks {
		return refuse("it is too costly: %d iterations for each of %d blocks is over %d in all", p.iterations, blocks, maxIterations)
	}
	return nil
}

func parsePBKDF2(name string, fields []string) (verifier, error) {
	if len(fields) != 3 {
		return nil, refuse("a PBKDF2 hash is $%s$i=…$salt$hash", name)
	}
	p := pbkdf2Hash{digest: sha1.New}
	switch name {
	case "pbkdf2-sha256":
		p.digest = sha256.New
	case "pbkdf2-sha512":
		p.digest = sha512.New
	}
	count := fields[0]
	var length int
	if in, ok := strings.CutPrefix(count, "i="); ok {
		var stated string
		if count, stated, ok = strings.Cut(in, ",l="); ok {
			n, err := number(stated)
			if err != nil {
				return nil, refuse("a PBKDF2 hash is $%s$i=…,l=…$salt$hash", name)
			}
			length = n
		}
	}
	var err error
	if p.iterations, err = number(count); err != nil {
		return nil, refuse("the iterations of PBKDF2 are a whole number")
	}
	// passlib writes . where others write +
	if p.salt, p.key, err = saltAndResult(strings.ReplaceAll(fields[1], ".", "+"), strings.ReplaceAll(fields[2], ".", "+")); err != nil {
		return nil, err
	}
	if length != 0 && length != len(p.key) {
		return nil, refuse("its l does not fit the result")
	}
	return p, nil
}

// number reads a decimal number as PHC strings have it: no sign, no leading zero.
func number(s string) (int, error) {
	if s == "" || len(s) > 9 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(s)
}

func saltAndResult(salt, result string) (s, r []byte, err error) {
	if s, err = decode(salt); err == nil {
		r, err = decode(result)
	}
	switch {
	case err != nil:
		return nil, nil, refuse("salt and result are base64 without padding")
	case len(s) < minSalt || len(s) > maxSalt:
		return nil, nil, refuse("the salt has %d bytes, not %d to %d", len(s), minSalt, maxSalt)
	case len(r) < minResult || len(r) > maxResult:
		return nil, nil, refuse("the result has %d bytes, not %d to %d", len(r), minResult, maxResult)
	}
	return s, r, nil
}

// decode is strict: Go's decoder would skip line ends.
func decode(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return base64.RawStdEncoding.Strict().DecodeString(s)
}
