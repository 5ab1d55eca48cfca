"""The operating systems that the program runs on."""
