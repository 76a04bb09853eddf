package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/internal/overlay"
)

const (
	// formatVersion is the layout of the file; a newer one is refused.
	formatVersion = 1
	// lockTimeout is how long Open waits for another process to let go.
	lockTimeout = time.Second
	// wholeUpTo is the size of the largest file that is checked whole before it
	// is used. A larger one is if it has no freelist, as after an unclean stop: the
	// library makes one then by walking the tree, and believes what it walks on.
	wholeUpTo = 16 << 20
	// mapAtLeast is address space, not memory: a map that need not move never
	// makes writers wait for readers.
	mapAtLeast = 8 << 30
	allocation = 1 << 20
	engineKind = store.Kind("engine")
)

var (
	formatKey = houseKey("format")
	cleanKey  = houseKey("clean-stop")
)

// ErrInUse says that another process holds the file.
var ErrInUse = errors.New("in use by another process")

// Open opens the file, making it if it is not there. A file that another
// process holds, that others may read, that a newer version wrote or that is
// damaged is a clear error.
func Open(o Options) (*Store, error) { return openChecking(o, wholeUpTo) }

func openChecking(o Options, checkedAtOpen int64) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		path: o.Path, now: o.Now, onFatal: o.OnFatal, checkedAtOpen: checkedAtOpen,
		queue: make(chan *request, queueLength), turn: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	if _, err := os.Stat(o.Path); errors.Is(err, os.ErrNotExist) {
		if err := create(o.Path); err != nil {
			return nil, fmt.Errorf("create %s: %w", o.Path, err)
		}
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Path, err)
	}
	s.db.AllocSize = allocation
	h, err := s.begun()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Path, errors.Join(err, s.letGo()))
	}
	go s.write(h)
	s.checkLater()
	return s, nil
}

func (s *Store) open() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(s.panicked(r), s.letGo())
		}
	}()
	size := mapAtLeast
	if info, err := os.Stat(s.path); err == nil {
		size = max(size, int(info.Size())*10)
	}
	inspect := &inspector{wholeUpTo: s.checkedAtOpen}
	s.db, err = bolt.Open(s.path, 0o600, settings(size, func(path string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := inspect.open(path, flag, mode)
		s.file = f
		return f, err
	}))
	s.checked = inspect.whole
	switch {
	case errors.Is(err, ErrInUse), errors.Is(err, store.ErrDamaged), errors.Is(err, os.ErrPermission), err == nil:
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

type openFile func(string, int, os.FileMode) (*os.File, error)

func settings(mapSize int, open openFile) *bolt.Options {
	return &bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoStatistics: true, InitialMmapSize: mapSize, OpenFile: open,
		NoFreelistSync: true, // but in the last commit: see markClean
	}
}

// inspector opens and locks the file and looks at it with our own eyes before
// the library does, which believes what it reads.
type inspector struct {
	wholeUpTo int64
	whole     bool // it was checked whole
}

func (i *inspector) open(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	if err := i.inspect(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (i *inspector) inspect(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others on this machine may read it: chmod 600 it first: %w", os.ErrPermission)
	}
	if err := lock(f); err != nil {
		return err
	}
	c := &checker{file: f, size: info.Size()}
	if err := c.header(); err != nil {
		return err
	}
	if c.meta.pages*c.pageSize > i.wholeUpTo && c.meta.freelist != noFreelist {
		return c.free()
	}
	i.whole = true
	return c.run(context.Background())
}

func lock(f *os.File) error {
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return err
		case time.Now().After(deadline):
			return ErrInUse
		}
	}
}

// create makes the file beside its place and links it there when it is whole, so
// that a stop in between leaves nothing half-made in its place and two processes
// that start together do not tread on each other.
func create(path string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := temp.Close(); err != nil {
		return err
	}
	if err := fillNew(temp.Name()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func fillNew(path string) error {
	db, err := bolt.Open(path, 0o600, settings(0, nil))
	if err != nil {
		return err
	}
	db.NoFreelistSync = false
	err = db.Update(func(b *bolt.Tx) error {
		records, err := b.CreateBucket(recordsBucket)
		if err != nil {
			return err
		}
		var sum uint64
		return errors.Join(
			put(records, &sum, formatKey, houseFrame("format", []byte{formatVersion})),
			put(records, &sum, cleanKey, houseFrame("clean-stop", nil)),
			records.SetSequence(sum))
	})
	return errors.Join(err, db.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// begun reads what the file says of itself.
func (s *Store) begun() (*history, error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	t, err := s.begin(context.Background(), store.House)
	if err != nil {
		return nil, err
	}
	defer t.end()
	format, err := t.Get(engineKind, []byte("format"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its format: %w: %w", store.ErrDamaged, err)
	case len(format) != 1 || format[0] > formatVersion:
		return nil, fmt.Errorf("a newer version of chatelaine wrote it (format %x, this one knows %d)", format, formatVersion)
	}
	if _, err := t.Get(store.RestoreKind, []byte(store.RestoreKey)); err == nil {
		return nil, store.ErrHalfRestored
	}
	_, err = t.Get(engineKind, []byte("clean-stop"))
	s.clean = err == nil
	return &history{since: uint64(t.b.ID())}, nil
}

// markClean is the last commit of a run that wrote something, and the only one
// with the freelist: written by each, it would make every commit dearer the more
// pages were ever freed. Without one the next Open walks the tree to make it.
func (s *Store) markClean() error {
	if s.clean {
		return nil
	}
	s.db.NoFreelistSync = false
	o := &overlay.Overlay{}
	o.Put(cleanKey, overlay.Write{Frame: houseFrame("clean-stop", nil)})
	return s.apply([]*request{{writes: o}})
}

// checkLater checks a large file in the background after an unclean stop, if
// opening it did not.
func (s *Store) checkLater() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	if s.clean || s.checked {
		return
	}
	s.checks.Go(func() {
		if err := s.Check(ctx, nil); errors.Is(err, store.ErrDamaged) {
			_ = s.die(err)
		}
	})
}

func houseKey(name string) []byte { return fullKey(store.House, engineKind, name) }

func fullKey(site string, kind store.Kind, key string) []byte {
	t := &tx{}
	t.prefix = append(append(t.buf[:0], byte(len(site))), site...)
	full, _ := t.place(kind, []byte(key))
	return full
}

func houseFrame(name string, value []byte) []byte {
	return store.AppendFrame(nil, store.House, engineKind, []byte(name), value, time.Time{})
}
