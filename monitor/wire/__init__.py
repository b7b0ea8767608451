"""Frames to datagrams and stream octets: link layers, IP with defragmentation, UDP and TCP."""
