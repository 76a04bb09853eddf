//go:build ignore

// A login page that signs agents in at Chatelaine by a JWT.
// LISTEN, CONNECTION (https://id.example/federation/portal), ISSUER, KID, SECRET.
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

// people stands for your own accounts.
var people = map[string]map[string]string{"raj": {"password": "rajs-password", "email": "raj@acme.example", "name": "Raj Patel"}}

var form = template.Must(template.New("").Parse(`<!doctype html><title>Log in</title>
<form method="post"><input name="user" autocomplete="username"><input name="password" type="password"><button>Log in</button></form>`))

var answer = template.Must(template.New("").Parse(`<!doctype html><title>One moment</title>
<form method="post" action="{{.To}}"><input type="hidden" name="jwt" value="{{.JWT}}"><button id="continue">Continue</button></form>
<script>document.forms[0].submit()</script>`))

func token(id string) string {
	who := people[id]
	jti := make([]byte, 16)
	rand.Read(jti)
	part := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(map[string]string{"alg": "HS256", "typ": "JWT", "kid": os.Getenv("KID")}) + "." + part(map[string]any{
		"aud": os.Getenv("CONNECTION"), "iss": os.Getenv("ISSUER"), "iat": time.Now().Unix(), "jti": hex.EncodeToString(jti),
		"sub": id, "email": who["email"], "name": who["name"],
	})
	mac := hmac.New(sha256.New, []byte(os.Getenv("SECRET")))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func login(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("return_to")
	if !strings.HasPrefix(to, os.Getenv("CONNECTION")+"/jwt?") { // or whoever writes the link gets the token
		http.Error(w, "return_to is not the connection's", http.StatusBadRequest)
		return
	}
	id := r.PostFormValue("user")
	if r.Method != http.MethodPost || people[id] == nil || !hmac.Equal([]byte(people[id]["password"]), []byte(r.PostFormValue("password"))) {
		form.Execute(w, nil)
		return
	}
	answer.Execute(w, map[string]string{"To": to, "JWT": token(id)})
}

// logout is where Chatelaine leads who has signed out there.
func logout(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("return_to")
	if !strings.HasPrefix(to, os.Getenv("CONNECTION")+"/logout?") {
		http.Error(w, "return_to is not the connection's", http.StatusBadRequest)
		return
	}
	// Here the session of your own page ends.
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func main() {
	http.HandleFunc("/login", login)
	http.HandleFunc("GET /logout", logout)
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), nil))
}
