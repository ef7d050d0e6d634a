"""The engines behind the queue port: each decides where claimed jobs run."""
