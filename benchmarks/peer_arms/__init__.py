"""The same work on other projects, each as a plain script that imports nothing of this one."""
