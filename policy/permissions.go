package policy

import (
	"slices"
	"strings"
)

// Permission is one thing that a role may allow.
type Permission struct {
	Name     string // area.verb
	Sentence string // what it lets its holder do, for the console and the consent page
}

// CustomPrefix begins the names of permissions that a deployment adds itself.
const CustomPrefix = "custom."

// maxPermission is the longest name of a permission, in bytes.
const maxPermission = 64

// AllPermissions lists the built-in permissions by area, in the order in which
// people read them.
func AllPermissions() []Permission {
	return []Permission{
		{"chat.accept", "Accept chats that wait for an agent."},
		{"chat.join", "Join a chat that another agent has."},
		{"chat.transfer", "Transfer a chat to another agent or department."},
		{"chat.monitor", "Watch live chats without joining them."},
		{"chat.view_all", "Read every chat of the site."},
		{"chat.view_department", "Read the chats of their own departments."},
		{"chat.view_own", "Read their own chats."},
		{"visitor.view", "See who is on the site now and what they look at."},
		{"visitor.ban", "Ban visitors and lift bans."},
		{"ticket.manage_own", "Work on tickets assigned to them."},
		{"ticket.manage_department", "Work on the tickets of their own departments."},
		{"ticket.manage_any", "Work on every ticket of the site."},
		{"contact.view", "See contacts and their history."},
		{"contact.edit", "Change contacts."},
		{"contact.view_identity", "See how a visitor's identity was proven."},
		{"report.view", "See reports and charts."},
		{"secure_form.send", "Send a secure form into a chat."},
		{"secure_form.read", "Open what a visitor entered in a secure form."},
		{"secure_form.manage", "Make and change secure forms."},
		{"console.sign_in", "Sign in to the console."},
		{"profile.manage", "Change their own profile."},
		{"agent.view", "See the site's agents."},
		{"agent.manage", "Add, change and deactivate agents."},
		{"role.manage", "Make, change and assign roles."},
		{"department.manage", "Make and change departments and their members."},
		{"policy.manage", "Change password, network and sign-in policies."},
		{"client.manage", "Register and change OAuth clients."},
		{"sso.manage", "Set up single sign-on."},
		{"audit.view", "Read and export the audit log."},
		{"review.manage", "Work on the account security review and sign it off."},
		{"site.manage", "Change the site's settings and keys."},
		{"agent.act_as", "Act in the name of another agent."},
	}
}

// ValidPermission reports whether name is a built-in permission or a well-formed
// custom one: "custom." and lower-case words of letters, digits and underscores
// joined by dots, 64 bytes at most.
func ValidPermission(name string) bool {
	if rest, custom := strings.CutPrefix(name, CustomPrefix); custom {
		return len(name) <= maxPermission && validWords(rest)
	}
	return slices.ContainsFunc(AllPermissions(), func(p Permission) bool { return p.Name == name })
}

func validWords(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
	}
	return true
}
