"""Where frames come from: the netfilter queue and capture files."""
