package account

import (
	"net/http"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

func (x *Account) showBreakGlass(http.ResponseWriter, *http.Request) error { return web.ErrNotFound }

func (x *Account) submitBreakGlass(http.ResponseWriter, *http.Request) error { return web.ErrNotFound }
