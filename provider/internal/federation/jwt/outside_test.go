package jwt_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this machine lacks %s", what)
	}
	t.Skipf("this machine lacks %s", what)
}

// signers is a folder with the libraries, fetched from npm into the user's cache once.
func signers(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		lacking(t, "a cache")
	}
	dir := filepath.Join(cache, "chatelaine-test", "jsonwebtoken-9.0.3-jose-6.1.0")
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "jsonwebtoken@9.0.3", "jose@6.1.0")
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("%s", out)
		lacking(t, "npm, or its registry")
	}
	if err := os.WriteFile(filepath.Join(dir, "done"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTokensOfLibrariesThatLoginPagesUseAreAccepted(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		lacking(t, "Node.js")
	}
	dir := signers(t)
	script, err := os.ReadFile("testdata/sign.mjs")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(dir, "sign-*.mjs") // beside node_modules, where Node looks for imports
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file.Name()) })
	if _, err := file.Write(script); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	private := map[string]crypto.Signer{"RS256": ring().rsa, "RS512": ring().rsa, "ES256": ring().p256, "ES384": ring().p384, "EdDSA": ring().ed25519}
	e, pems := expect(), map[string]string{}
	e.Keys = []jwt.Key{{KID: "HS256", Secret: secret}, {KID: "HS384", Secret: secret}, {KID: "HS512", Secret: secret}}
	for alg, key := range private {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		pems[alg] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		e.Keys = append(e.Keys, jwt.Key{KID: alg, Alg: alg, Public: key.Public()})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sign := exec.CommandContext(ctx, node, file.Name())
	sign.Stdin = bytes.NewReader(asJSON(t, map[string]any{"claims": strict(), "secret": string(secret), "keys": pems}))
	sign.Stderr = os.Stderr
	out, err := sign.Output()
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	if err := json.Unmarshal(out, &tokens); err != nil {
		t.Fatal(err)
	}
	if len(tokens) != 15 {
		t.Errorf("%d tokens", len(tokens))
	}
	for name, raw := range tokens {
		if got := accepted(t, name, raw, e); got.Subject != "42" || got.ID != "one" {
			t.Errorf("%s: %+v", name, got)
		}
		dot := strings.LastIndexByte(raw, '.')
		refused(t, name+" turned round", raw[:dot+1]+raw[dot+2:]+"A", e, jwt.CodeInvalid, "signature")
	}
}
