"""The check itself: experiments rerun under changed conditions, each in a fresh process.

`plan` says which processes there will be, `pool` runs them, `worker` is what each of them does, `messages` what it
says, `partial` keeps what is done so far on disk, and `check` makes the record of it.
"""
