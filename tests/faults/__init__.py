"""What happens to events when something breaks: real processes killed, servers gone, connections cut."""
