package factor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// deviceCookie is the cookie's name, before web adds to it. Its value is 128
// random bits that stay, and by which the record is found, and 256 that change at
// each use. Who presents the first without the second has an old copy.
const (
	deviceCookie = "device"
	familySize   = 16
	secretSize   = 32
	// deviceGrace is how long the value before is good after a change, for tabs that
	// were opened at once.
	deviceGrace = 30 * time.Second
)

// DeviceUse is what a browser's cookie was worth.
type DeviceUse struct {
	OK     bool   // it stands in for a second factor
	Cookie string // its new value, for SetDevice after the commit; empty: it stays
	// Stolen says that a copy was used: the device is forgotten, and the agent
	// should be told.
	Stolen bool
}

// Device is a remembered browser as it is shown.
type Device struct {
	ID                     string
	IP, UserAgent          string
	Created, Seen, Expires time.Time
	This                   bool // it is the one that asks
}

// presented is the request's cookie, apart.
func presented(r *http.Request) (id string, secret []byte, ok bool) {
	value, ok := web.Cookie(r, deviceCookie)
	if !ok || len(value) != base64.RawURLEncoding.EncodedLen(familySize+secretSize) {
		return "", nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return "", nil, false
	}
	return deviceID(raw[:familySize]), raw[familySize:], true
}

func deviceID(family []byte) string {
	sum := sha256.Sum256(family)
	return hex.EncodeToString(sum[:16])
}

func hashed(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}

// Remember makes the request's browser one in which agent need not show a second
// factor for as many days as the site says, and returns the cookie's value; "" if
// the site says none. Call it when a second factor has been shown, and nothing of
// the sign-in is left that changes a password or a factor.
func (x *Factors) Remember(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, r *http.Request) (cookie string, err error) {
	days := s.Settings.TwoFactor.RememberDays
	if days <= 0 {
		return "", nil
	}
	if err := x.makeRoomForDevice(tx, r, agent.ID); err != nil {
		return "", err
	}
	raw := make([]byte, familySize+secretSize)
	rand.Read(raw)
	now := x.Now().UTC()
	rec := store.Device{
		ID: deviceID(raw[:familySize]), AgentID: agent.ID, Hash: hashed(raw[familySize:]), Rotated: now,
		UserAgent: web.UserAgent(ctx), Created: now, Seen: now, Expires: now.AddDate(0, 0, days),
	}
	if ip := web.ClientIP(ctx); ip.IsValid() {
		rec.IP = ip.String()
	}
	if err := store.Devices.Put(tx, &rec); err != nil {
		return "", fmt.Errorf("remember a device: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), x.recordDevice(ctx, tx, audit.DeviceRemember, rec, "", nil)
}

// makeRoomForDevice removes what this browser had for the same agent, and the
// agent's oldest.
func (x *Factors) makeRoomForDevice(tx store.Tx, r *http.Request, agentID string) error {
	all, err := devices(tx, agentID)
	if err != nil {
		return err
	}
	arrange.By(all, func(a, b store.Device) int { return b.Created.Compare(a.Created) })
	here, _, _ := presented(r)
	kept := 0
	for _, d := range all {
		if d.ID != here && kept < MaxDevices-1 {
			kept++
			continue
		}
		if err := store.Devices.Delete(tx, d.ID); err != nil {
			return fmt.Errorf("forget a device: %w", err)
		}
	}
	return nil
}

func devices(tx store.Tx, agentID string) (all []store.Device, err error) {
	for d, err := range store.Devices.List(tx, "agent", agentID) {
		if err != nil {
			return nil, fmt.Errorf("list devices: %w", err)
		}
		all = append(all, d)
	}
	return all, nil
}

// Remembered says whether the request's browser is one in which agent need not
// show a second factor, and changes its value. Ask it after the password was
// right. Another agent's cookie is worth nothing and stays as it is.
func (x *Factors) Remembered(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, r *http.Request) (DeviceUse, error) {
	id, secret, ok := presented(r)
	if !ok || s.Settings.TwoFactor.RememberDays <= 0 {
		return DeviceUse{}, nil
	}
	rec, err := store.Devices.Get(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return DeviceUse{}, nil
	}
	if err != nil {
		return DeviceUse{}, fmt.Errorf("find the device: %w", err)
	}
	now := x.Now().UTC()
	if rec.AgentID != agent.ID || !trusted(s, agent, rec, now) {
		return DeviceUse{}, nil
	}
	given := hashed(secret)
	switch {
	case subtle.ConstantTimeCompare(given, rec.Hash) == 1:
		return x.rotate(ctx, tx, rec, r, now)
	case subtle.ConstantTimeCompare(given, rec.Previous) == 1 && now.Before(rec.Rotated.Add(deviceGrace)):
		return DeviceUse{OK: true}, nil
	}
	if err := store.Devices.Delete(tx, rec.ID); err != nil {
		return DeviceUse{}, fmt.Errorf("forget a stolen device: %w", err)
	}
	return DeviceUse{Stolen: true}, x.recordDevice(ctx, tx, audit.DeviceStolen, rec, "", nil)
}

// trusted holds a device to the site's days as they are now, and to everything
// that makes an agent prove themselves anew.
func trusted(s *site.Site, agent store.Agent, rec store.Device, now time.Time) bool {
	return now.Before(rec.Expires) && now.Before(rec.Created.AddDate(0, 0, s.Settings.TwoFactor.RememberDays)) &&
		!rec.Created.Before(agent.PasswordChanged) && !rec.Created.Before(agent.NotBefore) && !rec.Created.Before(s.Settings.NotBefore)
}

func (x *Factors) rotate(ctx context.Context, tx store.Tx, rec store.Device, r *http.Request, now time.Time) (DeviceUse, error) {
	value, _ := web.Cookie(r, deviceCookie)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return DeviceUse{}, nil
	}
	rand.Read(raw[familySize:])
	rec.Previous, rec.Hash, rec.Rotated, rec.Seen, rec.UserAgent = rec.Hash, hashed(raw[familySize:]), now, now, web.UserAgent(ctx)
	if ip := web.ClientIP(ctx); ip.IsValid() {
		rec.IP = ip.String()
	}
	if err := store.Devices.Put(tx, &rec); err != nil {
		return DeviceUse{}, fmt.Errorf("note the use of a device: %w", err)
	}
	return DeviceUse{OK: true, Cookie: base64.RawURLEncoding.EncodeToString(raw)}, nil
}

// SetDevice hands the browser its cookie; call it after the commit. An empty
// value changes nothing.
func SetDevice(w http.ResponseWriter, r *http.Request, s *site.Site, value string) {
	if value != "" {
		web.SetCookie(w, r, deviceCookie, value, time.Duration(s.Settings.TwoFactor.RememberDays)*24*time.Hour)
	}
}

// ClearDevice takes it back.
func ClearDevice(w http.ResponseWriter, r *http.Request) { web.ClearCookie(w, r, deviceCookie) }

// Devices lists the agent's remembered browsers, the latest first.
func (x *Factors) Devices(tx store.Tx, agentID string, r *http.Request) ([]Device, error) {
	all, err := devices(tx, agentID)
	here, _, _ := presented(r)
	list := make([]Device, 0, len(all))
	for _, d := range all {
		list = append(list, Device{d.ID, d.IP, d.UserAgent, d.Created, d.Seen, d.Expires, d.ID == here})
	}
	arrange.By(list, func(a, b Device) int { return b.Seen.Compare(a.Seen) })
	return list, err
}

// Forget forgets one of the agent's browsers. ErrNoFactor.
func (x *Factors) Forget(ctx context.Context, tx store.Tx, agentID, id string, by ...audit.Ref) error {
	rec, err := store.Devices.Get(tx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("find a device: %w", err)
	}
	if err != nil || rec.AgentID != agentID {
		return ErrNoFactor
	}
	if err := store.Devices.Delete(tx, id); err != nil {
		return fmt.Errorf("forget a device: %w", err)
	}
	return x.recordDevice(ctx, tx, audit.DeviceForget, rec, "", by)
}

// ForgetAll forgets all of them, as a new password or another factor must.
func (x *Factors) ForgetAll(ctx context.Context, tx store.Tx, agentID string, by ...audit.Ref) (n int, err error) {
	all, err := devices(tx, agentID)
	if err != nil {
		return 0, err
	}
	for _, d := range all {
		if err := store.Devices.Delete(tx, d.ID); err != nil {
			return 0, fmt.Errorf("forget a device: %w", err)
		}
		if err := x.recordDevice(ctx, tx, audit.DeviceForget, d, "factors_or_password", by); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

func (x *Factors) recordDevice(ctx context.Context, tx store.Tx, action string, d store.Device, reason string, by []audit.Ref) error {
	return x.Audit.Record(ctx, tx, audit.Event{
		Action: action, Actor: actor(d.AgentID, by), Object: audit.Ref{Type: "device", ID: d.ID}, Reason: reason,
		Changes: []audit.Change{{Field: "agent", New: d.AgentID}},
	})
}
