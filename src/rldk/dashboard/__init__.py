"""Watch runs while they train: what `rldk serve`, `rldk watch` and `rldk tail` are made of.

catalogue   the runs in a folder
foreign     follows the logs of other tools, by reading them again
blocks      how rows lie on disk
gathered    rows that are in memory only
curves      the rows of a curve, wherever they are
columns     the events of a run as columns
kept        where columns are kept on disk
charts      thins columns to what a screen can show
judge       runs the rules over a run, and finds its seams
watched     a run that is being watched
entry       what the list of runs says of a run
details     what is told of a run alone
tail        the threads that read all runs
ring        what was read last of a log
known       what is known of all runs now
listener    one who listens
hub         hands out what comes to all who listen
cursor      where a listener stands in every run
frames      what is sent, as text
guard       who may ask
app         what is answered
server      serves it
"""
