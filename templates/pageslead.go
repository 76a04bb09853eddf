package templates

// LeadPage is on the way to a customer's own login. It goes with a Refresh header
// that leads there at once; the link, with id continue, is for where that is
// switched off.
type LeadPage struct {
	Frame
	Connection ConnectionLink
}

// LocaleLinks are none: the page is gone in a moment.
func (LeadPage) LocaleLinks() []LocaleLink { return nil }

func (LeadPage) file() string { return "lead" }
