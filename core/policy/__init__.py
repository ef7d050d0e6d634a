"""Guards that the engine asks before every effect: pause, caps, approvals, lateness."""
