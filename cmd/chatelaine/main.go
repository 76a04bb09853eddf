// Command chatelaine is the identity provider for customer chat, in one binary.
package main

func main() {}
