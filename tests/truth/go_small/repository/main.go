package main

import "example.org/small/store"

func main() {
	s := store.New()
	s.Put("a", 1)
	println(s.Get("a"))
}
