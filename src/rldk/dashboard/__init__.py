"""Watch runs while they train: what `rldk serve`, `rldk watch` and `rldk tail` are made of.

catalogue   the runs in a folder
foreign     follows the logs of other tools, by reading them again
columns     the events of a run as columns, on disk
charts      thins columns to what a screen can show
judge       runs the rules over a run, and finds its seams
watched     a run that is being watched
tail        the thread that reads all runs
hub         hands out what comes to all who listen
cursor      where a listener stands in every run
frames      what is sent, as text
guard       who may ask
app         what is answered
server      serves it
"""
