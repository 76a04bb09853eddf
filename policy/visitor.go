package policy

import "time"

// ActionChat is what a visitor wants: to begin a conversation, or to go on with one.
const ActionChat = "chat.start"

// VisitorActions is what every visitor may do who is let in at all.
func VisitorActions() []string { return []string{ActionChat} }

// banned says whether a visitor is, and until when; zero: for good.
func (r Request) banned() (until time.Time, banned bool) {
	if r.Subject.Type != Visitor {
		return time.Time{}, false
	}
	facts := r.Known
	facts.IP = r.IP
	ban, found := r.Bans.Match(facts, r.Now)
	return ban.Until, found
}
