// Package store keeps numbers.
package store

// Store keeps numbers by name.
type Store struct {
	values map[string]int
}

// Getter finds numbers.
type Getter interface {
	Get(name string) int
}

// New makes an empty Store.
func New() *Store {
	return &Store{values: map[string]int{}}
}

// Put keeps a number.
func (s *Store) Put(name string, value int) {
	s.values[name] = value
}

// Get finds a number.
func (s *Store) Get(name string) int {
	return s.values[name]
}
