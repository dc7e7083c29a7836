module seatmeter

go 1.19
